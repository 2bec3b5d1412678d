"""Customer lists and memberships."""

from __future__ import annotations

from typing import Any

from django.test import Client

from blueshift_sync.models import CustomerList, ListMembership
from tests.factories import make_customer, make_list, make_membership

from .pages import add_url, list_url, page_url, text_of


def test_a_list_is_added_by_its_number(admin_client: Client) -> None:
    values = {"list_id": "35869", "name": "Newsletter", "description": "", "mode": ""}
    assert admin_client.post(add_url(CustomerList), values).status_code == 302
    added = CustomerList.objects.get()
    assert (added.list_id, added.name, added.status) == (35869, "", CustomerList.Status.ACTIVE)


def test_editing_a_list_keeps_its_number_and_what_a_worker_wrote(admin_client: Client) -> None:
    customer_list = make_list(
        list_id=35869, name="Readers", identifier_key="customer_id", status=CustomerList.Status.UNSUPPORTED
    )
    make_membership(customer_list=customer_list, synced_is_member=True)
    values = {"list_id": "1", "name": "New name", "description": "", "mode": "sync", "status": "ACTIVE"}
    assert admin_client.post(page_url(customer_list), values).status_code == 302
    customer_list.refresh_from_db()
    assert (customer_list.list_id, customer_list.name, customer_list.mode) == (35869, "Readers", "sync")
    assert (customer_list.status, customer_list.identifier_key) == (CustomerList.Status.UNSUPPORTED, "customer_id")


def test_a_lists_page_says_why_it_cant_be_used(admin_client: Client) -> None:
    customer_list = make_list(
        status=CustomerList.Status.UNSUPPORTED, error_code="list_unsupported", error_message="Make a new list."
    )
    text = text_of(admin_client.get(page_url(customer_list)))
    for expected in ("Old list, not supported", "list_unsupported", "Make a new list."):
        assert expected in text
    assert "list_unsupported" in text_of(admin_client.get(list_url(CustomerList)))


def test_a_list_shows_the_mode_that_the_setting_gives_it(admin_client: Client, settings: Any) -> None:
    customer_list = make_list(mode="")
    settings.BLUESHIFT_SYNC = settings.BLUESHIFT_SYNC | {"LIST_MODE": "sync"}
    assert "Synchronous, by LIST_MODE" in text_of(admin_client.get(page_url(customer_list)))


def test_only_a_list_without_memberships_can_be_deleted(admin_client: Client) -> None:
    used, unused = make_membership().customer_list, make_list()
    assert admin_client.post(page_url(used, "delete"), {"post": "yes"}).status_code == 403
    assert admin_client.post(page_url(unused, "delete"), {"post": "yes"}).status_code == 302
    assert list(CustomerList.objects.all()) == [used]


def test_a_membership_made_by_hand_is_to_be_sent(admin_client: Client) -> None:
    customer_list, customer = make_list(), make_customer()
    values = {"customer_list": customer_list.pk, "customer": customer.pk, "is_member": "on"}
    assert admin_client.post(add_url(ListMembership), values).status_code == 302
    membership = ListMembership.objects.get()
    assert (membership.state, membership.is_member) == (ListMembership.State.PENDING, True)


def test_a_membership_ended_by_hand_is_a_new_version_that_waits(admin_client: Client) -> None:
    membership = make_membership(state=ListMembership.State.SYNCED, version=2, synced_version=2, due_at=None)
    elsewhere = {"customer_list": make_list().pk, "customer": make_customer().pk}
    assert admin_client.post(page_url(membership), elsewhere).status_code == 302
    changed = ListMembership.objects.get(pk=membership.pk)
    assert (changed.is_member, changed.state, changed.version) == (False, ListMembership.State.PENDING, 3)
    assert (changed.customer_list, changed.customer) == (membership.customer_list, membership.customer)


def test_a_membership_that_a_source_owns_is_read_only(admin_client: Client) -> None:
    membership = make_membership(source_type="elsewhere.signup", source_id="7")
    assert "Change it there, not here: elsewhere.signup 7." in text_of(admin_client.get(page_url(membership)))
    assert admin_client.post(page_url(membership), {}).status_code == 403
    membership.refresh_from_db()
    assert membership.is_member


def test_a_membership_without_its_source_object_says_what_became_of_it(admin_client: Client) -> None:
    membership = make_membership(source_type="elsewhere.signup", is_member=False)
    assert "which takes the customer off the list" in text_of(admin_client.get(page_url(membership)))


def test_a_membership_says_what_is_known_of_blueshift(admin_client: Client) -> None:
    membership = make_membership(synced_is_member=False, synced_identifier="old@example.com")
    text = text_of(admin_client.get(page_url(membership)))
    assert "Is a member in Blueshift No" in text
    assert "old@example.com" in text
