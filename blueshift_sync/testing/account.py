"""What an account holds: customers and lists. Pure state; nothing here knows HTTP."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from .rules import IDENTIFIERS, Rules
from .scenario import Scenario

Customer = dict[str, Any]
RecordError = dict[str, Any]
RecordFault = Callable[[Mapping[str, Any]], RecordError | None]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class CustomerList:
    """One custom user list. Its members are keys of customers, or of identifiers with the identifiers themselves."""

    id: int
    name: str
    source: str = "email"
    status: str = "active"
    description: str = ""
    is_seed_list: bool = False
    uuid: str = field(default_factory=lambda: str(uuid4()))
    created_at: str = field(default_factory=now)
    deleted_at: str | None = None
    members: dict[str, str | None] = field(default_factory=dict)


class Account:
    """Customers and lists, with the rules by which Blueshift merges them.

    Which customer a record is about:

    1. the one with its `uuid`, if there is one (an unknown uuid is ignored);
    2. else the one with its `customer_id`;
    3. else, if it has a `customer_id` that is new, the oldest with its e-mail and without one, now named;
    4. else, if it has no `customer_id`, the oldest with its e-mail;
    5. else a new one.

    E-mails are compared without regard to case and are not unique: two customer_ids may share one. Fields
    that aren't sent stay as they are. A null replaces the value (`nulls: "store"`), is ignored (`"keep"`)
    or refused (`"reject"`); a null or empty identifier is ignored.

    Who is on a list is kept by the customer's uuid (`list_members: "customers"`), so that members survive a change of
    e-mail, or by the identifier that was sent (`"identifiers"`), so that they don't.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.customers: dict[str, Customer] = {}
        self.lists: dict[int, CustomerList] = {}
        self.unknown_identifiers: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._by_customer_id: dict[str, str] = {}
        self._by_email: dict[str, dict[str, None]] = {}
        self._rules = Rules(scenario)
        self.use(scenario)

    def use(self, scenario: Scenario) -> None:
        """Goes on under other settings; what is stored stays. The scenario's lists are made where missing."""
        self._scenario = scenario
        self._rules.use(scenario)
        for key, spec in scenario.lists.items():
            if int(key) not in self.lists:
                self.put_list(int(key), **spec)

    # Customers

    def upsert(
        self, customers: Sequence[Customer], record_fault: RecordFault | None = None
    ) -> tuple[list[Customer], list[RecordError]]:
        """Stores the good ones. Returns the refused ones as Blueshift echoes them, and their errors."""
        refused: list[Customer] = []
        errors: list[RecordError] = []
        seen: set[str] = set()
        for customer in customers:
            error = (record_fault and record_fault(customer)) or self._upsert_one(customer, seen)
            if error:
                refused.append(customer if "customer_id" in customer else {**customer, "customer_id": None})
                errors.append(error)
        return refused, errors

    def upsert_one(self, customer: Customer) -> tuple[Customer | None, RecordError | None]:
        """Stores one customer. Returns it as it is now, or the error."""
        seen: set[str] = set()
        error = self._upsert_one(customer, seen)
        return (None, error) if error else (self.customers.get(seen.pop(), customer), None)

    def _upsert_one(self, customer: Customer, seen: set[str]) -> RecordError | None:
        if problems := self._rules.problems(customer):
            return {"status": 400, "error_data": problems}
        if not self._scenario.keep:
            return self._note(customer.get("customer_id") or customer["email"].lower(), seen)
        uuid = self._find(customer)
        owner = self._by_customer_id.get(customer.get("customer_id") or "", uuid)
        if owner != uuid:
            return {"status": 409, "error_data": {"customer_id": ["has already been taken"]}}
        uuid = uuid or str(uuid4())
        error = self._note(uuid, seen)
        if not error:
            self._store(uuid, customer)
        return error

    def _note(self, identity: str, seen: set[str]) -> RecordError | None:
        """Remembers who was in this call: one customer twice in a call is a conflict, as either could win."""
        if identity in seen and self._scenario.duplicates == "reject":
            return {
                "status": 409,
                "error_data": {"conflict": ["The customer is more than once in this call"]},
            }
        seen.add(identity)
        return None

    def _find(self, customer: Customer) -> str | None:
        if customer.get("uuid") in self.customers:
            return str(customer["uuid"])
        customer_id = customer.get("customer_id")
        if customer_id in self._by_customer_id:
            return self._by_customer_id[customer_id]
        for uuid in self._by_email.get((customer.get("email") or "").lower(), ()):
            if not customer_id or not self.customers[uuid].get("customer_id"):
                return uuid
        return None

    def _store(self, uuid: str, sent: Customer) -> None:
        stored = self.customers.get(uuid)
        if stored is None:
            stored = {"uuid": uuid, "email": None, "customer_id": None, "created_at": now()}
            self.customers[uuid] = stored
        old_email = stored["email"]
        drop_nulls = self._scenario.nulls == "keep"
        for name, value in sent.items():
            if name == "uuid" or (not value and name in IDENTIFIERS) or (value is None and drop_nulls):
                continue
            if name == "customer_id":
                self._by_customer_id.pop(stored["customer_id"], None)
                self._by_customer_id[value] = uuid
            stored[name] = value
        stored["updated_at"] = now()
        if stored["email"] != old_email:
            self._forget_email(old_email, uuid)
            self._by_email.setdefault(stored["email"].lower(), {})[uuid] = None

    def _forget_email(self, email: str | None, uuid: str) -> None:
        holders = self._by_email.get((email or "").lower())
        if holders is not None:
            del holders[uuid]
            if not holders:
                del self._by_email[(email or "").lower()]

    def matching(self, key: str, value: Any) -> list[Customer]:
        """The customers with this `email` or `customer_id`, the oldest first."""
        if not isinstance(value, str):
            return []
        if key == "email":
            return [self.customers[uuid] for uuid in self._by_email.get(value.lower(), ())]
        uuid = self._by_customer_id.get(value)
        return [] if uuid is None else [self.customers[uuid]]

    def remove(self, body: Mapping[str, Any], *, every: bool) -> None:
        """Deletes the first, or every, customer with this customer_id, else e-mail, with its memberships."""
        key = "customer_id" if body.get("customer_id") else "email"
        found = self.matching(key, body.get(key))
        for customer in found if every else found[:1]:
            uuid = customer["uuid"]
            self._forget_email(customer["email"], uuid)
            self._by_customer_id.pop(customer["customer_id"], None)
            del self.customers[uuid]
            for customer_list in self.lists.values():
                customer_list.members.pop(uuid, None)
                customer_list.members.pop(_key(customer_list, customer[customer_list.source] or ""), None)

    # Lists

    def put_list(self, list_id: int, **fields: Any) -> CustomerList:
        """Makes a list or changes one; its members stay."""
        customer_list = self.lists.get(list_id) or CustomerList(list_id, name=f"List {list_id}")
        for name, value in fields.items():
            setattr(customer_list, name, value)
        if customer_list.status != "deleted":
            customer_list.deleted_at = None
        elif customer_list.deleted_at is None:
            customer_list.deleted_at = now()
        self.lists[list_id] = customer_list
        return customer_list

    def new_list_id(self) -> int:
        return max(self.lists, default=1000) + 1

    def add_members(self, list_id: int, identifiers: Iterable[str]) -> list[dict[str, Any]]:
        """Adds customers to a list. Returns errors only with `unknown_identifiers: "report"`."""
        customer_list = self.lists.get(list_id)
        errors: list[dict[str, Any]] = []
        if customer_list is None or not self._scenario.keep:
            return errors
        for identifier in identifiers:
            found = self.matching(customer_list.source, identifier)
            if not found:
                found = self._unknown(customer_list, identifier, errors)
            if self._scenario.list_members == "identifiers" and found:
                customer_list.members[_key(customer_list, identifier)] = identifier
                continue
            for customer in found:
                customer_list.members[customer["uuid"]] = None
        return errors

    def _unknown(self, customer_list: CustomerList, identifier: str, errors: list[dict[str, Any]]) -> list[Customer]:
        self.unknown_identifiers.append({"list_id": customer_list.id, customer_list.source: identifier})
        if self._scenario.unknown_identifiers == "report":
            errors.append({"identifier_value": identifier, "detail": "User not found"})
        elif self._scenario.unknown_identifiers == "create":
            self._store(str(uuid4()), {customer_list.source: identifier})
        return self.matching(customer_list.source, identifier)

    def remove_members(self, list_id: int, identifiers: Iterable[str]) -> None:
        """Takes customers off a list; who isn't on it is no error."""
        customer_list = self.lists.get(list_id)
        if customer_list is None:
            return
        for identifier in identifiers:
            customer_list.members.pop(_key(customer_list, identifier), None)
            for customer in self.matching(customer_list.source, identifier):
                customer_list.members.pop(customer["uuid"], None)

    def members(self, customer_list: CustomerList) -> list[str | None]:
        """The members' identifiers of the list's source, in the order in which they were added."""
        return [
            identifier or self.customers[key][customer_list.source] for key, identifier in customer_list.members.items()
        ]


def _key(customer_list: CustomerList, identifier: str) -> str:
    """Of a member that is kept by its identifier."""
    return f"identifier {identifier.lower() if customer_list.source == 'email' else identifier}"
