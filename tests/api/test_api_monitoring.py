"""How everything stands: for monitors, for Prometheus, and for django-health-check."""

from __future__ import annotations

import asyncio
import builtins
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from health_check.exceptions import ServiceUnavailable
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from blueshift_sync.delivery.figures import note_sweep
from blueshift_sync.delivery.workers import Workers
from blueshift_sync.health_check import SyncHealthCheck
from blueshift_sync.models import Customer, StateCount
from tests.api.helpers import client_of, make_user
from tests.factories import make_customer, make_membership

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

STATUS, METRICS = "/some/prefix/status/", "/some/prefix/metrics/"


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.status.workers", lambda: Workers(alive=2, busy=1))


@pytest.fixture
def backlog(db: None, two_workers: None) -> None:
    """Of customers: three in step, two waiting, one failed, one excluded. A membership waits for its customer."""
    now = timezone.now()
    customers = [make_customer(state="SYNCED", due_at=None) for _ in range(3)]
    make_customer(waiting_since=now - timedelta(seconds=90))
    make_customer(waiting_since=now - timedelta(seconds=30))
    make_customer(state="FAILED", error_code="x", due_at=None)
    make_customer(state="EXCLUDED", error_code="excluded", due_at=None)
    make_membership(customer=customers[0], due_at=None, error_code="list_unread")
    note_sweep(now - timedelta(seconds=20))


@pytest.mark.usefixtures("backlog")
def test_the_status_tells_where_records_stand(reader: APIClient) -> None:
    response = reader.get(STATUS)

    told = response.json()
    assert response.status_code == 200
    assert [told[name] for name in ("in_step", "waiting", "parked", "failed", "excluded")] == [3, 2, 1, 1, 1]
    assert 90 <= told["oldest_waiting_seconds"] < 100
    assert 20 <= told["sweep_age_seconds"] < 30
    assert told["sending"] == {"state": "on", "since": None, "reason": None}
    assert (told["workers"]["alive"], told["ok"], told["is_exact"]) == (2, True, True)


@pytest.mark.usefixtures("backlog")
@pytest.mark.parametrize(
    ("query", "beyond"),
    [
        ("max_failed=1", set()),
        ("max_failed=0", {"max_failed"}),
        ("max_waiting=2", set()),
        ("max_waiting=1", {"max_waiting"}),
        ("max_waiting_seconds=600", set()),
        ("max_waiting_seconds=60", {"max_waiting_seconds"}),
        ("max_excluded=0", {"max_excluded"}),
        ("min_workers=2", set()),
        ("min_workers=3", {"min_workers"}),
        ("max_sweep_seconds=60", set()),
        ("max_sweep_seconds=10", {"max_sweep_seconds"}),
        ("sending=on", set()),
        ("max_failed=0&max_waiting=1&max_sweep_seconds=60", {"max_failed", "max_waiting"}),
    ],
)
def test_a_threshold_makes_it_a_503(reader: APIClient, query: str, beyond: set[str]) -> None:
    response = reader.get(f"{STATUS}?{query}")

    assert response.status_code == (503 if beyond else 200)
    told = response.json()
    assert set(told.get("errors", {})) == beyond
    assert told["failed"] == 1  # the facts are there all the same
    assert bool(told.get("detail")) == bool(beyond)


@pytest.mark.parametrize(
    "query", ["max_filed=1", "max_failed=-1", "max_failed=x", "max_failed=", "sending=off", "page=1"]
)
def test_a_threshold_that_is_not_understood_is_refused_by_name(reader: APIClient, query: str) -> None:
    response = reader.get(f"{STATUS}?{query}")

    assert response.status_code == 400
    assert response.json()["errors"].keys() == {query.partition("=")[0]}


@pytest.mark.usefixtures("two_workers")
def test_nothing_sent_is_beyond_what_was_asked_for(reader: APIClient, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}

    assert reader.get(STATUS).status_code == 200
    response = reader.get(f"{STATUS}?sending=on")
    assert response.status_code == 503
    assert response.json()["sending"]["state"] == "switched_off"
    assert "ENABLED" in response.json()["detail"]


@pytest.mark.parametrize("sweep_ran", [True, False])
def test_up_to_a_threshold_records_are_counted_whether_or_not_a_sweep_runs(
    reader: APIClient, monkeypatch: pytest.MonkeyPatch, sweep_ran: bool
) -> None:
    """The number that the sweep counted says nothing of now, least of all when no sweep runs any more."""
    monkeypatch.setattr("blueshift_sync.delivery.state_counts.BOUND", 2)
    for _ in range(5):
        make_customer(state="FAILED", due_at=None)
    counted_at = timezone.now() - timedelta(days=1)
    StateCount.objects.create(of="blueshift_sync.customer", counts={"failed": 3}, counted_at=counted_at)
    if sweep_ran:
        note_sweep(timezone.now())

    assert reader.get(f"{STATUS}?max_failed=5").status_code == 200
    beyond = reader.get(f"{STATUS}?max_failed=4")
    assert (beyond.status_code, beyond.json()["detail"]) == (503, "There are more than 4 records that failed.")


@pytest.mark.parametrize(
    ("counted", "minutes_ago", "swept_minutes_ago", "status"),
    [
        (3000, 10, 1, 200),  # what is known is new enough
        (3000, 180, 1, 503),  # the sweep goes on, and hasn't counted for hours
        (3000, 10, 10, 503),  # the sweep has ended
        (3000, 10, None, 503),  # there never was one
        (None, None, 1, 503),  # it has not counted yet
        (1, 10, 1, 503),  # there were fewer then
        (6000, 180, 10, 503),  # there were too many already
    ],
)
def test_beyond_what_is_counted_at_once_nobody_knows_without_a_sweep(  # noqa: PLR0917
    reader: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    counted: int | None,
    minutes_ago: int | None,
    swept_minutes_ago: int | None,
    status: int,
) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.state_counts.BOUND", 2)
    monkeypatch.setattr("blueshift_sync.delivery.state_counts.LARGEST_BOUND", 2)
    now = timezone.now()
    for _ in range(3):
        make_customer(state="FAILED", due_at=None)
    if minutes_ago is not None:
        counts, counted_at = {"failed": counted}, now - timedelta(minutes=minutes_ago)
        StateCount.objects.create(of="blueshift_sync.customer", counts=counts, counted_at=counted_at)
    if swept_minutes_ago is not None:
        note_sweep(now - timedelta(minutes=swept_minutes_ago))

    response = reader.get(f"{STATUS}?max_failed=5000")

    assert response.status_code == status
    if status == 503 and counted != 6000:
        assert response.json()["detail"].startswith("Nobody knows whether there are more than 5000 records that failed")
    assert reader.get(STATUS).status_code == 200  # who asks for nothing is told what is known


def test_without_redis_nobody_knows_of_workers(reader: APIClient, settings: Any) -> None:
    settings.RQ_QUEUES = {}

    response = reader.get(f"{STATUS}?min_workers=1")

    assert (response.status_code, response.json()["workers"]) == (503, None)
    assert reader.get(f"{STATUS}?min_workers=0").status_code == 200


@pytest.mark.usefixtures("backlog")
def test_the_status_tells_of_what_the_user_may_see() -> None:
    told = client_of(make_user("view_listmembership")).get(STATUS).json()

    assert told["records"].keys() == {"listmembership"}
    assert (told["in_step"], told["parked"]) == (0, 1)


def test_the_queries_do_not_grow_with_the_records(reader: APIClient, django_assert_num_queries: Any) -> None:
    make_customer()
    with django_assert_num_queries(7):
        reader.get(STATUS)
    for _ in range(20):
        make_customer()
    with django_assert_num_queries(7):
        reader.get(STATUS)


# Prometheus


def samples(response: Any) -> dict[tuple[str, ...], float]:
    assert response.status_code == 200
    return {
        (sample.name.removeprefix("blueshift_sync_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.mark.usefixtures("backlog")
def test_the_metrics_are_those_of_now(reader: APIClient) -> None:
    found = samples(reader.get(METRICS))

    assert found["records", "customer", "in_step"] == 3
    assert found["records", "customer", "failed"] == 1
    assert 90 <= found["oldest_waiting_seconds", "customer"] < 100
    assert (found["sending", "on"], found["workers",], found["redis_up",]) == (1, 2, 1)
    assert found["last_sweep_timestamp_seconds",] > 0
    Customer.objects.filter(state="FAILED").delete()
    assert samples(reader.get(METRICS))["records", "customer", "failed"] == 0


def test_a_stop_is_a_metric(reader: APIClient, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": None}
    settings.RQ_QUEUES = {}

    found = samples(reader.get(METRICS))

    assert (found["sending", "key_missing"], found["redis_up",]) == (0, 0)


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/openmetrics-text; version=1.0.0"])
def test_the_scraper_gets_a_format_that_it_takes(reader: APIClient, accept: str) -> None:
    response = reader.get(METRICS, headers={"Accept": accept})

    expected = "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
    assert response["Content-Type"].startswith(expected)


def test_the_collector_serves_a_registry_of_the_site() -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    from blueshift_sync.metrics import SyncCollector

    registry = CollectorRegistry()
    registry.register(SyncCollector())
    make_customer(state="FAILED", due_at=None)

    assert b'blueshift_sync_records{kind="customer",state="failed"} 1.0' in generate_latest(registry)


def test_without_the_library_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, reader: APIClient) -> None:
    real_import = builtins.__import__

    def without_it(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "blueshift_sync.metrics", raising=False)
    monkeypatch.delattr("blueshift_sync.metrics", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_it)

    response = reader.get(METRICS)

    assert response.status_code == 501
    assert "blueshift-sync[metrics]" in response.json()["detail"]


# django-health-check


@pytest.mark.usefixtures("backlog")
def test_the_check_is_content_while_all_is_well() -> None:
    SyncHealthCheck(max_waiting_seconds=600, max_failed=1).run()


@pytest.mark.usefixtures("backlog")
def test_the_check_fails_beyond_a_threshold() -> None:
    with pytest.raises(ServiceUnavailable, match="1 records failed, more than 0"):
        SyncHealthCheck(max_failed=0).run()


@pytest.mark.usefixtures("two_workers")
def test_the_check_fails_where_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.state_counts.BOUND", 2)
    monkeypatch.setattr("blueshift_sync.delivery.state_counts.LARGEST_BOUND", 2)
    for _ in range(3):
        make_customer(state="FAILED", due_at=None)
    note_sweep(timezone.now())

    with pytest.raises(ServiceUnavailable, match="Nobody knows"):
        SyncHealthCheck(max_failed=5000).run()


def test_the_check_fails_for_what_somebody_has_to_mend(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": None}

    with pytest.raises(ServiceUnavailable, match="API_KEY"):
        SyncHealthCheck().run()


@pytest.mark.django_db(transaction=True)
def test_the_check_runs_as_the_library_runs_it(two_workers: None) -> None:
    note_sweep(timezone.now())
    good, bad = SyncHealthCheck(), SyncHealthCheck(min_workers=3)

    assert asyncio.run(good.get_result()).error is None
    assert "2 workers" in str(asyncio.run(bad.get_result()).error)


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=x", "text/plain; version=x.y", "text/plain;version=", ", ;;"]
)
def test_a_format_that_makes_no_sense_gets_the_plain_one(reader: APIClient, accept: str) -> None:
    response = reader.get(METRICS, headers={"Accept": accept})

    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (200, "text/plain")
