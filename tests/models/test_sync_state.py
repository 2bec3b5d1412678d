"""What a change makes of a record's state, and what the database refuses."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from blueshift_sync.models import Customer, ListMembership, SyncState
from tests.factories import make_customer, make_list, make_membership, make_run

pytestmark = pytest.mark.django_db

NOW = timezone.now()
REASONS = {**dict.fromkeys(SyncState.EXCLUDED_CODES, "EXCLUDED"), **dict.fromkeys(SyncState.UNSENDABLE_CODES, "FAILED")}


def changed(row: SyncState, **reason: str) -> SyncState:
    row.mark_changed(due_at=NOW, **reason)
    row.save()
    row.refresh_from_db()
    return row


@pytest.mark.parametrize("state", ["PENDING", "SYNCED", "FAILED", "EXCLUDED"])
def test_a_change_makes_a_record_due_and_forgets_what_went_before(state: str) -> None:
    row = changed(make_customer(state=state, attempts=3, batch_limit=1, error_code="invalid", error_message="No."))
    assert (row.state, row.due_at, row.version) == ("PENDING", NOW, 2)
    assert (row.attempts, row.batch_limit, row.error_code, row.error_message) == (0, None, "", "")


@pytest.mark.parametrize("state", ["PENDING", "SYNCED", "FAILED", "EXCLUDED"])
@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_reason_not_to_send_it_decides_its_state(state: str, code: str) -> None:
    row = changed(make_customer(state=state), error_code=code, error_message="Because.")
    assert (row.state, row.due_at, row.waiting_since) == (REASONS[code], None, None)
    assert (row.error_code, row.error_message) == (code, "Because.")
    assert (row.error_cause != "") == (row.state == "FAILED")


@pytest.mark.parametrize("code", ["", *sorted(REASONS)])
def test_a_record_that_is_being_sent_stays_with_its_call(code: str) -> None:
    before = make_customer(state="SENDING", run=make_run(), version=4)
    token, run, due_at = before.claim_token, before.run, before.due_at
    row = changed(before, error_code=code)
    assert (row.state, row.claim_token, row.run, row.due_at) == ("SENDING", token, run, due_at)
    assert (row.version, row.claimed_version, row.error_code) == (5, 4, code)


def test_a_record_that_waits_keeps_its_run_and_how_long_it_has_waited() -> None:
    run, earlier = make_run(), NOW - timedelta(hours=1)
    row = changed(make_customer(run=run, waiting_since=earlier))
    assert (row.run, row.waiting_since) == (run, earlier)


def test_a_record_in_step_starts_waiting_anew_without_its_old_run() -> None:
    row = changed(make_customer(state="SYNCED", run=make_run(), waiting_since=None))
    assert row.run is None
    assert row.waiting_since is not None


def test_what_blueshift_has_already_is_in_step() -> None:
    row = changed(make_customer(fingerprint="a", synced_fingerprint="a"))
    assert (row.state, row.synced_version, row.due_at, row.waiting_since) == ("SYNCED", 2, None, None)


@pytest.mark.parametrize("columns", [{"fingerprint": "b", "synced_fingerprint": "a"}, {"fingerprint": ""}])
def test_what_blueshift_has_not_or_perhaps_not_is_sent(columns: dict[str, str]) -> None:
    assert changed(make_customer(**columns)).state == "PENDING"


def test_what_was_asked_for_by_name_is_sent_even_if_blueshift_has_it() -> None:
    row = changed(make_customer(fingerprint="a", synced_fingerprint="a", run=make_run()))
    assert row.state == "PENDING"


CLAIM: dict[str, Any] = {"claim_token": uuid.uuid4(), "claim_expires_at": NOW, "claimed_version": 1}
IMPOSSIBLE = {
    "a state that does not exist": {"state": "LOST"},
    "a version in Blueshift that was never made": {"synced_version": 2},
    "sending without a claim": {"state": "SENDING"},
    "sending without a lease": {"state": "SENDING", **CLAIM, "claim_expires_at": None},
    "sending no version": {"state": "SENDING", **CLAIM, "claimed_version": None},
    "a claim without sending": CLAIM,
}


@pytest.mark.parametrize("columns", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("make", [make_customer, make_membership])
def test_the_database_refuses_what_cannot_be(make: Any, columns: dict[str, Any]) -> None:
    row = make()
    with pytest.raises(IntegrityError), transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**columns)


def test_a_source_object_has_one_customer() -> None:
    make_customer(source_type="shop.customer", source_id="1")
    make_customer(source_type="shop.customer", source_id="2")
    make_customer(source_type="site.person", source_id="1")
    for _ in range(2):
        make_customer(source_type="shop.customer", source_id=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_customer(source_type="shop.customer", source_id="1")


def test_a_customer_id_is_unique_where_it_is_set_and_never_empty() -> None:
    for _ in range(2):
        make_customer(customer_id=None)
    make_customer(customer_id="1")
    for customer_id in ("1", ""):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_customer(customer_id=customer_id)


def test_a_customer_is_on_a_list_once() -> None:
    row = make_membership()
    with pytest.raises(IntegrityError), transaction.atomic():
        make_membership(customer=row.customer, customer_list=row.customer_list)


@pytest.mark.parametrize("list_id", [0, -1])
def test_a_list_has_a_number_above_zero(list_id: int) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_list(list_id=list_id)


def test_setting_a_member_counts_as_a_change() -> None:
    row = make_membership(is_member=True)
    row.set_member(False, due_at=NOW)
    assert (row.is_member, row.version, row.state) == (False, 2, "PENDING")
    first = row.fingerprint
    row.set_member(True, due_at=NOW)
    assert row.fingerprint != first


def test_only_a_row_with_a_source_key_belongs_to_a_source() -> None:
    assert not Customer().is_source_owned
    assert not Customer(source_type="shop.customer").is_source_owned
    assert ListMembership(source_type="shop.customer", source_id="1").is_source_owned
