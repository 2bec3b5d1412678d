"""What can be asked of Blueshift: one function per endpoint, each of which makes a `Request`.

Paths, bodies and limits are those of Blueshift's reference pages "Bulk create/update customer" and "Bulk add users
to list", and of its OpenAPI document for the rest.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from .limits import CUSTOMERS_PER_CALL, IDENTIFIER_KEYS, LIST_MEMBERS_PER_CALL

#: A customer, or an identifier.
Record = dict[str, Any] | str


class Endpoint(StrEnum):
    """The endpoints in use. `CUSTOMER_FIND` changes nothing, so it serves as a ping."""

    CUSTOMERS_BULK = "CUSTOMERS_BULK"
    LIST_ADD = "LIST_ADD"
    LIST_REMOVE = "LIST_REMOVE"
    LIST_READ = "LIST_READ"
    LIST_CREATE = "LIST_CREATE"
    CUSTOMER_FIND = "CUSTOMER_FIND"
    CUSTOMER_DELETE = "CUSTOMER_DELETE"
    CUSTOMER_FORGET = "CUSTOMER_FORGET"


#: These take one customer out of Blueshift, for good. It accepts them at once and works them off within hours.
REMOVALS: Final = frozenset({Endpoint.CUSTOMER_DELETE, Endpoint.CUSTOMER_FORGET})

_LIST_ACTIONS: Final = {
    Endpoint.LIST_ADD: "bulk_add_users_to_list",
    Endpoint.LIST_REMOVE: "bulk_remove_users_from_list",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One question to Blueshift, without host and key.

    `records` are the things sent, in order: customers as dicts, identifiers as strings; none for a read. `body` is the
    JSON exactly as sent, None for a read; it is pure ASCII, so any database can store it. The repr shows no personal
    data. Raises ValueError for NaN and the infinities, which JSON doesn't know, and TypeError for values that aren't
    JSON at all.
    """

    endpoint: Endpoint
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    payload: Mapping[str, Any] | None = field(default=None, repr=False)
    records: tuple[Record, ...] = field(default=(), repr=False)

    body: bytes | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        text = None if self.payload is None else json.dumps(self.payload, separators=(",", ":"), allow_nan=False)
        object.__setattr__(self, "body", None if text is None else text.encode("ascii"))


def customers_bulk(customers: Iterable[dict[str, Any]]) -> Request:
    """Create or update 1 to 50 customers, each a flat dict. Raises ValueError for more, and for none."""
    records = tuple(customers)
    _check_size(len(records), CUSTOMERS_PER_CALL, "customers")
    return Request(
        Endpoint.CUSTOMERS_BULK,
        "POST",
        "/api/v1/customers/bulk",
        payload={"customers": list(records)},
        records=records,
    )


def list_add(list_id: int, identifier_key: str, values: Iterable[str], mode: str = "async") -> Request:
    """Put customers on a list.

    `identifier_key` is "email" or "customer_id" and must be the list's own. `mode` is "sync" (at most 25 values) or
    "async" (at most 500; the answer then only says that Blueshift took the work on). Raises ValueError for another key
    or mode, for too many values, and for none.
    """
    return _list_change(Endpoint.LIST_ADD, list_id, identifier_key, values, mode)


def list_remove(list_id: int, identifier_key: str, values: Iterable[str], mode: str = "async") -> Request:
    """Take customers off a list. Arguments and errors are those of `list_add`."""
    return _list_change(Endpoint.LIST_REMOVE, list_id, identifier_key, values, mode)


def read_list(list_id: int) -> Request:
    """Read a list's name (it comes back as `filename`), `source`, `status` and `user_count`."""
    return Request(Endpoint.LIST_READ, "GET", f"/api/v1/custom_user_lists/id/{list_id:d}")


def create_list(name: str, description: str, identifier_key: str) -> Request:
    """Create an empty list. `identifier_key` is "email" or "customer_id", and will be the list's `source`.

    The name is unique in the account: a second list of that name is refused. Without a description the name is sent as
    one, for nothing says that Blueshift takes none. Raises ValueError for another key and for an empty name.
    """
    _check_key(identifier_key)
    if not name.strip():
        raise ValueError("A list needs a name.")
    return Request(
        Endpoint.LIST_CREATE,
        "POST",
        "/api/v1/custom_user_lists/create",
        payload={"name": name, "description": description or name, "is_seed_list": 0, "source": identifier_key},
    )


def find_customer(email: str) -> Request:
    """Look a customer up by e-mail address. Changes nothing."""
    return Request(Endpoint.CUSTOMER_FIND, "GET", "/api/v1/customers", query={"email": email})


def delete_customer(identifier_key: str, identifier: str) -> Request:
    """Delete one customer and all that Blueshift knows of it, for good.

    `identifier_key` is "email" or "customer_id". Of several profiles with one customer ID all are deleted, for an ID
    means one customer. Others may share an e-mail address: by that only the first profile is deleted.
    """
    query = {"delete_all_matching_customers": "true"} if identifier_key == "customer_id" else {}
    return _removal(Endpoint.CUSTOMER_DELETE, "delete", identifier_key, identifier, query)


def forget_customer(identifier_key: str, identifier: str) -> Request:
    """As `delete_customer`, and Blueshift takes no notice of this customer any more."""
    return _removal(Endpoint.CUSTOMER_FORGET, "forget", identifier_key, identifier, {})


def _removal(endpoint: Endpoint, verb: str, identifier_key: str, identifier: str, query: dict[str, str]) -> Request:
    if identifier_key not in IDENTIFIER_KEYS:
        raise ValueError(f"A customer is removed by {' or '.join(IDENTIFIER_KEYS)}, not by {identifier_key!r}.")
    if not identifier.strip():
        raise ValueError(f"There is no {identifier_key} to remove a customer by.")
    return Request(
        endpoint,
        "POST",
        f"/api/v1/customers/{verb}",
        query=query,
        payload={identifier_key: identifier},
        records=(identifier,),
    )


def _list_change(endpoint: Endpoint, list_id: int, identifier_key: str, values: Iterable[str], mode: str) -> Request:
    records = tuple(values)
    _check_key(identifier_key)
    if mode not in LIST_MEMBERS_PER_CALL:
        raise ValueError(f"A list call's mode is {' or '.join(LIST_MEMBERS_PER_CALL)}, not {mode!r}.")
    _check_size(len(records), LIST_MEMBERS_PER_CALL[mode], f"identifiers ({mode})")
    return Request(
        endpoint,
        "PUT",
        f"/api/v1/custom_user_lists/{_LIST_ACTIONS[endpoint]}/{list_id:d}",
        query={"async": "true"} if mode == "async" else {},
        payload={"identifier_key": identifier_key, "identifier_values": list(records)},
        records=records,
    )


def _check_key(identifier_key: str) -> None:
    if identifier_key not in IDENTIFIER_KEYS:
        raise ValueError(f"A list's identifier key is {' or '.join(IDENTIFIER_KEYS)}, not {identifier_key!r}.")


def _check_size(count: int, limit: int, things: str) -> None:
    if not 1 <= count <= limit:
        raise ValueError(f"Blueshift takes 1 to {limit} {things} per call, not {count}: cut the batch to size.")
