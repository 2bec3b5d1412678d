"""What is known about Blueshift's HTTP API: requests, limits, answers. Knows no Django.

with BlueshiftClient(api_key, REGIONS["eu"].api) as client:
    request = customers_bulk([{"customer_id": "1", "email": "jane@example.com"}])
    exchange = client.send(client.prepare(request))
    answer = read_answer(request, exchange)
"""

from .answers import MAX_RETRY_AFTER, REQUEST_ID_LENGTH, is_from_the_api, read_answer
from .bodies import MESSAGE_LENGTH, read_message
from .endpoints import (
    Endpoint,
    Record,
    Request,
    create_list,
    customers_bulk,
    delete_customer,
    find_customer,
    forget_customer,
    list_add,
    list_remove,
    read_list,
)
from .http import (
    MAX_ANSWER_BYTES,
    BlueshiftClient,
    Exchange,
    HeldBack,
    HttpCall,
    TransportFailure,
)
from .limits import (
    CALLS_PER_SECOND,
    CUSTOMER_ID_LENGTH,
    CUSTOMERS_PER_CALL,
    EMAIL_LENGTH,
    IDENTIFIER_KEYS,
    LIST_MEMBERS_PER_CALL,
    NAME_LENGTH,
    REGIONS,
    RESERVED_PREFIXES,
    Region,
)
from .outcomes import Answer, CallOutcome, RecordAnswer, RecordOutcome

__all__ = [
    "CALLS_PER_SECOND",
    "CUSTOMERS_PER_CALL",
    "CUSTOMER_ID_LENGTH",
    "EMAIL_LENGTH",
    "IDENTIFIER_KEYS",
    "LIST_MEMBERS_PER_CALL",
    "MAX_ANSWER_BYTES",
    "MAX_RETRY_AFTER",
    "MESSAGE_LENGTH",
    "NAME_LENGTH",
    "REGIONS",
    "REQUEST_ID_LENGTH",
    "RESERVED_PREFIXES",
    "Answer",
    "BlueshiftClient",
    "CallOutcome",
    "Endpoint",
    "Exchange",
    "HeldBack",
    "HttpCall",
    "Record",
    "RecordAnswer",
    "RecordOutcome",
    "Region",
    "Request",
    "TransportFailure",
    "create_list",
    "customers_bulk",
    "delete_customer",
    "find_customer",
    "forget_customer",
    "is_from_the_api",
    "list_add",
    "list_remove",
    "read_answer",
    "read_list",
    "read_message",
]
