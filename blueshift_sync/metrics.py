"""How everything stands, for Prometheus. Needs the extra `metrics`.

All of it is read when it is scraped: what forked workers count in their memory is lost with them.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .delivery.status import Status, take_status

PREFIX = "blueshift_sync"


class SyncCollector(Collector):
    """For a registry of the site's own: `registry.register(SyncCollector())`. Each scrape takes the status anew."""

    def __init__(self, status: Status | None = None) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the database when it is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        status = self._status or take_status()
        yield from _of_records(status)
        yield from _of_the_machinery(status)


def exposition(status: Status, accept: str) -> tuple[bytes, str]:
    """The metrics in the format that the scraper accepts, and that format's name."""
    registry = CollectorRegistry()
    registry.register(SyncCollector(status))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def _of_records(status: Status) -> Iterable[Metric]:
    records = GaugeMetricFamily(f"{PREFIX}_records", "Records by kind and state.", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        f"{PREFIX}_oldest_waiting_seconds", "For how long the oldest record waits for its turn.", labels=["kind"]
    )
    for numbers in status.records:
        kind = str(numbers.model._meta.model_name)
        for group, number in numbers.numbers.items():
            records.add_metric([kind, group], number.value)
        waits = (status.taken_at - numbers.oldest).total_seconds() if numbers.oldest else 0
        oldest.add_metric([kind], max(0, waits))
    yield records
    yield oldest
    yield _gauge("removals_for_approval", "Removals that wait for somebody's yes.", status.for_approval.value)


def _of_the_machinery(status: Status) -> Iterable[Metric]:
    state = status.standstill.code if status.standstill else "on"
    sending = GaugeMetricFamily(
        f"{PREFIX}_sending", "1 while records are sent, 0 while nothing is, with the reason.", labels=["state"]
    )
    sending.add_metric([state], 0 if status.standstill else 1)
    yield sending
    yield _gauge("redis_up", "1 if Redis answers.", 1 if status.workers else 0)
    if status.workers:
        yield _gauge("workers", "Workers that are alive.", status.workers.alive)
        yield _gauge("workers_busy", "Workers that are busy.", status.workers.busy)
        yield _gauge("workers_suspended", "1 while the workers are suspended.", int(status.workers.are_suspended))
        yield _gauge("paused_seconds", "For so long nobody calls Blueshift.", status.workers.paused_seconds)
        yield _gauge("unanswered_calls", "The last so many calls got no proper answer.", status.workers.failures)
    if status.swept_at:
        yield _gauge("last_sweep_timestamp_seconds", "When a sweep last ended.", status.swept_at.timestamp())
    yield _gauge("calls_last_minute", "Calls to Blueshift in the last minute.", status.calls_last_minute)
    if status.calls_allowed is not None:
        yield _gauge("calls_allowed_per_minute", "The limit of calls.", status.calls_allowed)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value=value)
