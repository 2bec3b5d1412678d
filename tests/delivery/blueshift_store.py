"""What Blueshift would hold: customers by identity, and the members of each list."""

from __future__ import annotations

from typing import Any

from blueshift_sync.client import Endpoint
from blueshift_sync.client.endpoints import REMOVALS
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.models import Customer, ListMembership


class Store:
    """Applies payloads as Blueshift does. Members are kept by the customer, so they survive a change of e-mail."""

    def __init__(self) -> None:
        self.customers: dict[str, dict[str, Any]] = {}
        self.members: dict[int, set[str]] = {}

    def take(self, batch: Batch, taken: list[bool]) -> None:
        """Applies the records of a call that are `taken`."""
        sent = [record for record, is_taken in zip(batch.request.records, taken, strict=True) if is_taken]
        if batch.request.endpoint == Endpoint.CUSTOMERS_BULK:
            for payload in sent:
                assert isinstance(payload, dict)
                self.customers.setdefault(_identity(payload), {}).update(payload)
            return
        if batch.request.endpoint in REMOVALS:
            for identifier in sent:
                self.remove(str(identifier))
            return
        self._change_list(batch, sent)

    def _change_list(self, batch: Batch, sent: list[Any]) -> None:
        assert batch.customer_list is not None
        assert batch.customer_list.list_id is not None
        members = self.members.setdefault(batch.customer_list.list_id, set())
        for identifier in sent:
            for identity in self._who_is(batch.customer_list.identifier_key, identifier):
                if batch.request.endpoint == Endpoint.LIST_ADD:
                    members.add(identity)
                else:
                    members.discard(identity)

    def remove(self, identity: str) -> None:
        """As if it had never been there."""
        self.customers.pop(identity, None)
        for members in self.members.values():
            members.discard(identity)

    def holds(self, row: Customer | ListMembership) -> bool:
        """Whether this is exactly what the row says."""
        if isinstance(row, Customer):
            return self.customers.get(_identity(row.payload)) == row.payload
        members = self.members.get(row.customer_list.list_id or 0, set())
        return (_identity(row.customer.payload) in members) == row.is_member

    def _who_is(self, key: str, identifier: Any) -> list[str]:
        return [identity for identity, customer in self.customers.items() if customer.get(key) == identifier]


def _identity(payload: dict[str, Any]) -> str:
    return payload.get("customer_id") or payload["email"].lower()
