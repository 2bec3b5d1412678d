"""The endpoints: which request means what, and the documented answers. No sockets here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from . import answers
from .account import Account, Customer, CustomerList, RecordFault
from .answers import Answer, answer
from .rules import MISSING_IDENTIFIER, STANDARD
from .scenario import Scenario

CUSTOMERS_PER_CALL = 50
USERS_PER_SYNC_CALL = 25
USERS_PER_ASYNC_CALL = 500
NOT_CUSTOM = STANDARD.keys() | {"email", "created_at", "updated_at"}

EXACT: dict[tuple[str, str], str] = {
    ("POST", "/api/v1/customers/bulk"): "CUSTOMERS_BULK",
    ("POST", "/api/v1/customers"): "CUSTOMER_CREATE",
    ("GET", "/api/v1/customers"): "CUSTOMER_FIND",
    ("POST", "/api/v1/customers/delete"): "CUSTOMER_DELETE",
    ("POST", "/api/v1/customers/forget"): "CUSTOMER_FORGET",
    ("POST", "/api/v1/custom_user_lists/create"): "LIST_CREATE",
}
# The last part of these paths is an id.
WITH_ID: dict[tuple[str, str], str] = {
    ("GET", "/api/v1/customers"): "CUSTOMER_READ",
    ("GET", "/api/v1/custom_user_lists/id"): "LIST_READ",
    ("PUT", "/api/v1/custom_user_lists/bulk_add_users_to_list"): "LIST_ADD",
    ("PUT", "/api/v1/custom_user_lists/bulk_remove_users_from_list"): "LIST_REMOVE",
}


def route(method: str, path: str) -> tuple[str, str] | None:
    """The endpoint's name and the id in the path (empty if it has none), or None: nothing is there."""
    if name := EXACT.get((method, path)):
        return name, ""
    parent, _, last = path.rpartition("/")
    name = WITH_ID.get((method, parent))
    if not name or not last or (name.startswith("LIST_") and not (last.isascii() and last.isdecimal())):
        return None
    return name, last


@dataclass(slots=True)
class Call:
    """One call that has passed the door: routed and authorised."""

    endpoint: str
    id: str
    method: str
    path: str
    query_string: str
    content_type: str
    raw_body: bytes
    record_fault: RecordFault | None = None

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


class RefusedCallError(Exception):
    """A call that ends with this answer; raised where that is found out."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't JSON")


def read_json(call: Call) -> Any:
    """The body as JSON. Raises a RefusedCallError: 415 for another content type, 400 for another text."""
    if call.content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedCallError(answers.NOT_JSON)
    try:
        return json.loads(call.raw_body, parse_constant=_not_json)
    except JSONDecodeError as error:
        raise RefusedCallError(answers.malformed_json("unexpected character", error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise RefusedCallError(answers.malformed_json("unexpected character", 1, 1)) from error


def read_object(call: Call, otherwise: Answer = answers.BAD_REQUEST) -> dict[str, Any]:
    body = read_json(call)
    if not isinstance(body, dict):
        raise RefusedCallError(otherwise)
    return body


def as_read(customer: Customer) -> dict[str, Any]:
    """A customer as the API gives it: custom attributes, sent flat, come back under `custom_attributes`."""
    custom = {name: value for name, value in customer.items() if name not in NOT_CUSTOM}
    known = {name: value for name, value in customer.items() if name in NOT_CUSTOM}
    return {**known, "custom_attributes": custom}


def list_as_read(customer_list: CustomerList) -> dict[str, Any]:
    """A list as the API gives it: the name comes back as `filename`."""
    return {
        "id": customer_list.id,
        "account_id": 1,
        "filename": customer_list.name,
        "description": customer_list.description,
        "filesize": None,
        "user_count": len(customer_list.members),
        "status": "deleted" if customer_list.status == "deleted" else "ready",
        "created_at": customer_list.created_at,
        "updated_at": customer_list.created_at,
        "is_exporting": False,
        "user_id": 1,
        "source": customer_list.source,
        "uuid": customer_list.uuid,
        "is_seed_list": customer_list.is_seed_list,
        "deleted_at": customer_list.deleted_at,
        "import_method": "api",
        "version": "v1" if customer_list.status == "old" else "v2",
        "author": "Simulator",
    }


class Endpoints:
    """Answers calls from an account. `defer` runs an effect at once or after the scenario's `async_delay`."""

    def __init__(self, account: Account, scenario: Scenario, defer: Callable[[Callable[[], object]], None]) -> None:
        self._account = account
        self._scenario = scenario
        self._defer = defer
        self._handlers: dict[str, Callable[[Call], Answer]] = {
            "CUSTOMERS_BULK": self._customers_bulk,
            "CUSTOMER_CREATE": self._customer_create,
            "CUSTOMER_FIND": self._customer_find,
            "CUSTOMER_READ": self._customer_read,
            "CUSTOMER_DELETE": self._customer_delete,
            "CUSTOMER_FORGET": self._customer_forget,
            "LIST_CREATE": self._list_create,
            "LIST_READ": self._list_read,
            "LIST_ADD": self._list_add,
            "LIST_REMOVE": self._list_remove,
        }

    def answer(self, call: Call) -> Answer:
        try:
            return self._handlers[call.endpoint](call)
        except RefusedCallError as refusal:
            return refusal.answer

    # Customers

    def _customers_bulk(self, call: Call) -> Answer:
        customers = read_object(call).get("customers")
        if not isinstance(customers, list) or not customers:
            return answers.BAD_REQUEST
        if len(customers) > CUSTOMERS_PER_CALL:
            body = self._scenario.bulk_limit_body
            return Answer(413, b"") if body is None else answer(413, body)
        if not all(isinstance(customer, dict) for customer in customers):
            return answers.BAD_REQUEST
        refused, errors = self._account.upsert(customers, call.record_fault)
        return answer(200, {"customers": refused, "errors": errors}) if errors else answers.BULK_OK

    def _customer_create(self, call: Call) -> Answer:
        customer, error = self._account.upsert_one(read_object(call))
        if error:
            return answer(error["status"], {"errors": error["error_data"]})
        return answer(200, {"customer": as_read(customer or {})})

    def _customer_find(self, call: Call) -> Answer:
        email = call.query.get("email")
        if not email:
            return answer(400, {"errors": {"email": ["can't be blank"]}})
        users = [as_read(customer) for customer in self._account.matching("email", email)]
        return answer(200, {"users": users, "user": users[0] if users else None})

    def _customer_read(self, call: Call) -> Answer:
        customer = self._account.customers.get(call.id)
        return answer(200, {"customer": as_read(customer)}) if customer else answers.NOT_FOUND

    def _customer_delete(self, call: Call) -> Answer:
        every = call.query.get("delete_all_matching_customers") == "true"
        return self._remove(call, ("email", "customer_id"), every=every)

    def _customer_forget(self, call: Call) -> Answer:
        return self._remove(call, ("email", "customer_id", "cookie", "device_id"), every=True)

    def _remove(self, call: Call, identifiers: tuple[str, ...], *, every: bool) -> Answer:
        body = read_object(call)
        if not any(isinstance(body.get(name), str) and body[name] for name in identifiers):
            return answer(400, {"errors": MISSING_IDENTIFIER})
        self._defer(lambda: self._account.remove(body, every=every))
        return answers.STATUS_OK

    # Lists

    def _list_create(self, call: Call) -> Answer:
        body = read_object(call)
        missing = [name for name in ("name", "description") if not isinstance(body.get(name), str) or not body[name]]
        if missing:
            return answer(400, {"errors": {name: ["can't be blank"] for name in missing}})
        source = body.get("source") or "email"
        if source not in ("email", "customer_id"):
            return answer(400, {"errors": {"source": ["is not included in the list"]}})
        if body["name"] in {customer_list.name for customer_list in self._account.lists.values()}:
            return answer(422, {"errors": {"name": ["has already been taken"]}})
        customer_list = self._account.put_list(
            self._account.new_list_id(),
            name=body["name"],
            description=body["description"],
            source=source,
            is_seed_list=body.get("is_seed_list") in (1, "1", True),
        )
        made = list_as_read(customer_list)
        return answer(200, [made] if self._scenario.create_list_answer == "array" else made)

    def _list_read(self, call: Call) -> Answer:
        refuses = self._scenario.reads_of_refused_lists == "refuse"
        customer_list = self._changeable_list(int(call.id)) if refuses else self._account.lists.get(int(call.id))
        return answer(200, list_as_read(customer_list)) if customer_list else answers.NOT_FOUND

    def _list_add(self, call: Call) -> Answer:
        list_id, identifiers, in_background = self._members_of_call(call, "add")
        if not in_background:
            errors = self._account.add_members(list_id, identifiers)
            return answer(200, {"status": "ok", "errors": errors}) if errors else answers.LIST_OK
        self._defer(lambda: self._account.add_members(list_id, identifiers))
        return answers.LIST_OK

    def _list_remove(self, call: Call) -> Answer:
        list_id, identifiers, in_background = self._members_of_call(call, "remove")
        if in_background:
            self._defer(lambda: self._account.remove_members(list_id, identifiers))
        else:
            self._account.remove_members(list_id, identifiers)
        return answers.LIST_OK

    def _members_of_call(self, call: Call, verb: str) -> tuple[int, list[str], bool]:
        """The list's id, the identifiers and whether the call is asynchronous. Raises a RefusedCallError."""
        body = read_object(call, answers.LIST_PARAMETERS)
        customer_list = self._changeable_list(int(call.id))
        identifiers = body.get("identifier_values")
        mode = call.query.get("async", "false")
        if (
            body.get("identifier_key") != customer_list.source
            or mode not in ("true", "false")
            or not isinstance(identifiers, list)
            or not identifiers
            or not all(isinstance(value, str) and value for value in identifiers)
        ):
            raise RefusedCallError(answers.LIST_PARAMETERS)
        in_background = mode == "true"
        limit, way = (USERS_PER_ASYNC_CALL, "async api call") if in_background else (USERS_PER_SYNC_CALL, "api call")
        if len(identifiers) > limit:
            text = f"You can {verb} maximum {limit} users in one {way}"
            raise RefusedCallError(answer(413, {"error": text}))
        return customer_list.id, identifiers, in_background

    def _changeable_list(self, list_id: int) -> CustomerList:
        customer_list = self._account.lists.get(list_id)
        if customer_list is None:
            raise RefusedCallError(answers.NOT_FOUND)
        if customer_list.status == "deleted":
            raise RefusedCallError(answers.LIST_DELETED)
        if customer_list.status == "old":
            raise RefusedCallError(answers.LIST_OLD)
        return customer_list
