"""Jobs of another version: while a site is being upgraded, old workers get new jobs, and new workers old ones.

What is pinned here may be added to and never changed: a job that is queued now may be run by the version before.
"""

from __future__ import annotations

import inspect
import json
import zlib
from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.utils import timezone
from rq import SimpleWorker
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from blueshift_sync import services, tasks
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.gathering import resume_lost
from blueshift_sync.delivery.redis import queue
from blueshift_sync.delivery.wake import enqueue_drain
from blueshift_sync.models import Customer, SyncRun
from tests.factories import make_customer

pytestmark = pytest.mark.django_db

#: By version 0.1.0: the path by which each job is queued, and the arguments that it is queued with.
JOBS: dict[str, dict[str, int]] = {
    "blueshift_sync.tasks.drain": {},
    "blueshift_sync.tasks.sweep": {},
    "blueshift_sync.tasks.prune": {},
    "blueshift_sync.tasks.gather": {"run_id": 1},
    "blueshift_sync.tasks.match_import": {"import_id": 1},
}


def work_it_off() -> list[str]:
    """Runs what is queued in this process. Returns how each job that failed ended."""
    ours = queue()
    assert len(ours) > 0
    SimpleWorker([ours], connection=ours.connection).work(burst=True, logging_level="CRITICAL")
    registry = FailedJobRegistry(queue=ours)
    return [str(ours.fetch_job(job_id).latest_result().exc_string) for job_id in registry.get_job_ids()]


@pytest.mark.parametrize("path", JOBS)
def test_each_job_is_where_it_was_and_takes_what_it_took(path: str) -> None:
    function = getattr(tasks, path.rpartition(".")[2])
    assert f"{function.__module__}.{function.__name__}" == path
    parameters = list(inspect.signature(function).parameters.values())
    needed = [each.name for each in parameters if each.default is each.empty and each.kind != each.VAR_KEYWORD]
    assert needed == list(JOBS[path])
    assert all(each.kind in {each.KEYWORD_ONLY, each.VAR_KEYWORD} for each in parameters)
    assert parameters[-1].kind == inspect.Parameter.VAR_KEYWORD, "A newer version couldn't add an argument."


def test_no_job_is_missing_here() -> None:
    public = [
        f"{function.__module__}.{name}"
        for name, function in vars(tasks).items()
        if inspect.isfunction(function) and function.__module__ == tasks.__name__ and not name.startswith("_")
    ]
    assert sorted(public) == sorted(JOBS)


@pytest.mark.parametrize("path", JOBS)
@pytest.mark.parametrize("more", [{}, {"argument_of_a_newer_version": 1}])
def test_each_runs_as_another_version_queued_it(blueshift: Any, path: str, more: dict[str, int]) -> None:
    queue().enqueue(path, **JOBS[path], **more)
    assert work_it_off() == []


def test_what_is_queued_is_what_is_pinned(blueshift: Any) -> None:
    enqueue_drain()
    run = SyncRun.objects.create(
        kind="CUSTOMERS", trigger="ADMIN", scope={"gathering": {}}, heartbeat_at=timezone.now() - timedelta(hours=1)
    )
    resume_lost()
    jobs = queue().jobs
    assert {(job.func_name, tuple(job.kwargs)) for job in jobs} <= {
        (path, tuple(arguments)) for path, arguments in JOBS.items()
    }
    assert [job.kwargs for job in jobs if job.func_name.endswith("gather")] == [{"run_id": run.pk}]
    assert all(job.args == () for job in jobs)


def test_a_job_that_this_version_doesnt_know_fails_and_nothing_is_lost(blueshift: Any) -> None:
    customer = make_customer()
    queue().enqueue("blueshift_sync.tasks.of_a_newer_version", customer_id=customer.pk)
    [failure] = work_it_off()
    assert "of_a_newer_version" in failure
    drain()
    assert Customer.objects.get().state == "SYNCED"
    assert services.push([customer]).total == 1


def test_without_pickles(blueshift: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the queue's serializer is JSON, a worker with the same one does all of our jobs, and unpickles nothing."""
    monkeypatch.setitem(django_rq.settings.QUEUES["default"], "SERIALIZER", "rq.serializers.JSONSerializer")
    customer = make_customer()
    enqueue_drain()
    ours = queue()
    for path, arguments in JOBS.items():
        ours.enqueue(path, **arguments)
    stored = [zlib.decompress(ours.connection.hget(f"rq:job:{job_id}", "data")) for job_id in ours.job_ids]
    assert [json.loads(data)[0] for data in stored] == ["blueshift_sync.tasks.drain", *JOBS]
    worker = SimpleWorker([ours], connection=ours.connection, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert FailedJobRegistry(queue=ours).get_job_ids() == []
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
