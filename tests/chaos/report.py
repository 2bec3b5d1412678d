"""The figures of a storm, in one line of the test's output (pytest -rP shows it)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from blueshift_sync.models import ApiCall, Customer, ListMembership
from tests.chaos.crew import Crew
from tests.chaos.shop import BusyShop


def report(name: str, simulator: Any, shop: BusyShop, crew: Crew, **figures: Any) -> None:
    """Prints what happened; nothing is asserted of it, for it depends on the machine."""
    faults = Counter(request.fault for request in simulator.requests if request.fault)
    figures |= {
        "kills": crew.kills,
        "customers": Customer.objects.count(),
        "memberships": ListMembership.objects.count(),
        "transactions": shop.transactions,
        "slowest_transaction": shop.slowest,
        "calls_received": len(simulator.requests),
        "calls_audited": ApiCall.objects.count(),
        "unknown": ApiCall.objects.filter(state="UNKNOWN").count(),
        "worker_died": ApiCall.objects.filter(error_code="worker_died").count(),
        "faults": dict(faults),
    }
    shown = (f"{key}={value:.1f}" if isinstance(value, float) else f"{key}={value}" for key, value in figures.items())
    print(f"{name}:", *shown)  # noqa: T201 - that is what it is for
