"""An error while one call is settled costs that call alone: the answers of the others are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery.batches import Finished
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall
from tests.factories import make_customer

Settle = Callable[[Sequence[Finished]], list[Finished]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def one_by_one(unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four calls in flight, of which one at a time is found to have ended."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1, "CONCURRENCY": 4}
    original = drain_module.wait

    def first(futures: Any, **options: Any) -> Any:
        ended, others = original(futures, **options)
        return set(list(ended)[:1]), others

    monkeypatch.setattr(drain_module, "wait", first)


@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.usefixtures("one_by_one")
def test_the_other_calls_are_settled(monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    for _ in range(4):
        make_customer()
    monkeypatch.setattr(drain_module, "settle", raising(drain_module.settle, times=broken))
    with pytest.raises(RuntimeError, match="The database is gone"):
        drain()
    states = sorted(ApiCall.objects.values_list("state", flat=True))
    assert states == ["OPEN"] * broken + ["SUCCEEDED"] * (4 - broken)


def raising(work: Settle, *, times: int) -> Settle:
    """As `work`, but the first calls of it fail."""
    calls = iter([True] * times)

    def settle(finished: Sequence[Finished]) -> list[Finished]:
        if next(calls, False):
            raise RuntimeError("The database is gone.")
        return work(finished)

    return settle
