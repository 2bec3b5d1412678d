"""A customer's page: what was sent beside what should be, each call that carried it, and why it waits."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rq import Worker

from blueshift_sync import services
from blueshift_sync.admin.waiting import why_is_it_waiting
from blueshift_sync.delivery.redis import queue
from blueshift_sync.delivery.throttle import pause_calls
from blueshift_sync.models import Customer, CustomerList, SendingStop
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

from .conftest import Login
from .pages import action, list_url, page_url, text_of

State = Customer.State


def sent(customer: Customer, *payloads: dict[str, Any], position: int = 0, **more: Any) -> Any:
    """A call that carried these customers, of which one is this."""
    call = make_call(request_body=json.dumps({"customers": payloads}), **more)
    return make_result(call=call, customer=customer, position=position)


def rows_of(page: str) -> str:
    return page.partition("What Blueshift should hold, and what it was last sent")[2].partition("List memberships")[0]


# Beside what was sent


def test_differences_are_told_in_words(admin_client: Client) -> None:
    customer = make_customer(
        customer_id="7",
        email="ada@example.com",
        firstname="Ada",
        lastname="Byron",
        attributes={"orders": 1, "new": True},
    )
    sent(customer, {"customer_id": "7", "firstname": "Nobody"})
    other = {"customer_id": "8"}
    old = {"customer_id": "7", "email": "ada@example.com", "firstname": "Ada", "lastname": "King", "orders": 1.0}
    sent(customer, other, {**old, "gone": "<b>x</b>"}, position=1)
    make_result(customer=customer, outcome="REJECTED")
    make_result(customer=customer, membership=make_membership(customer=customer))
    response = admin_client.get(page_url(customer))
    table = rows_of(text_of(response))
    assert "email ada@example.com ada@example.com The same" in table
    assert "lastname Byron King Changed" in table
    assert "orders 1 1.0 Changed" in table
    assert "new true – Not sent yet" in table
    assert "gone – <b>x</b> No longer sent; Blueshift keeps it" in table
    assert "Nobody" not in table
    assert "<b>x</b>" not in response.content.decode()


def test_masked_values_are_not_compared(admin_client: Client) -> None:
    customer = make_customer(email="ada@example.com", attributes={"tags": ["a"]})
    sent(customer, {"email": "***", "tags": ["***"]})
    table = rows_of(text_of(admin_client.get(page_url(customer))))
    assert table.count("Masked by REDACT: can't be compared") == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bodies_emptied_at": timezone.now()}, "the body was emptied on"),
        ({"request_body": ""}, "doesn't hold this customer"),
        ({"request_body": "[]"}, "doesn't hold this customer"),
        ({"request_body": '{"customers": [5]}'}, "doesn't hold this customer"),
    ],
)
def test_what_cant_be_compared_says_why(admin_client: Client, more: dict[str, Any], said: str) -> None:
    customer = make_customer(email="ada@example.com")
    make_result(call=make_call(**more), customer=customer)
    table = rows_of(text_of(admin_client.get(page_url(customer))))
    assert said in table
    assert "ada@example.com" in table


def test_nothing_was_accepted_yet(admin_client: Client) -> None:
    assert "has accepted nothing of this customer yet" in text_of(admin_client.get(page_url(make_customer())))


def test_what_was_sent_needs_the_permission_for_bodies(login: Login) -> None:
    customer = make_customer()
    sent(customer, {"firstname": "Secret"})
    page = text_of(login("view_customer", "view_apicall").get(page_url(customer)))
    assert "you need the permission “Can read request and response bodies”" in page
    assert "Secret" not in page
    assert "Secret" in text_of(login("view_customer", "view_apicall_body").get(page_url(customer)))


# Its calls


def test_every_call_is_found_page_by_page(admin_client: Client) -> None:
    customer = make_customer()
    results = [make_result(customer=customer) for _ in range(45)]
    seen: list[str] = []
    address = page_url(customer)
    counts = []
    for older in (True, True, False):
        with CaptureQueriesContext(connection) as queries:
            page = admin_client.get(address).content.decode()
        counts.append(len(queries))
        seen += [str(result.call_id) for result in results if f">#{result.call_id}</a>" in page]
        assert ("Older calls" in page) == older
        assert ("The newest calls" in page) == ("before" in address)
        last = min(result.pk for result in results if f">#{result.call_id}</a>" in page)
        address = f"{page_url(customer)}?before={last}"
    assert sorted(seen) == sorted(str(result.call_id) for result in results)
    assert max(counts) == min(counts)
    assert admin_client.get(f"{page_url(customer)}?before=<b>").status_code == 200


# In Blueshift


@pytest.mark.parametrize(("region", "host"), [("us", "app.getblueshift.com"), ("eu", "app.eu.getblueshift.com")])
def test_the_profile_in_blueshift_is_linked_where_its_address_is_known(
    admin_client: Client, settings: Any, region: str, host: str
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "BASE_URL": None, "REGION": region}
    customer = make_customer(uuid="a/b")
    link = f'href="https://{host}/dashboard#/app/customer/a%2Fb/show/overview"'
    assert link in admin_client.get(page_url(customer)).content.decode()
    assert "customer UUID, which isn't known here" in text_of(admin_client.get(page_url(make_customer())))
    page = admin_client.get(page_url(make_list(list_id=77))).content.decode()
    assert f'href="https://{host}/dashboard#/app/custom_list/77/edit"' in page


def test_no_profile_is_linked_where_base_url_leads_elsewhere(admin_client: Client) -> None:
    assert "Profile in Blueshift" not in text_of(admin_client.get(page_url(make_customer(uuid="u"))))


# Why it waits


@pytest.fixture
def working(db: None) -> Any:
    """A worker that listens."""
    worker = Worker([queue()], connection=queue().connection)
    worker.register_birth()
    yield
    worker.register_death()


def why(record: Any) -> str:
    record.refresh_from_db()
    return " ".join(why_is_it_waiting(record)).replace("\xa0", " ")


def test_what_is_in_step_waits_for_nothing(working: None, admin_client: Client) -> None:
    customer = make_customer(state=State.SYNCED, due_at=None)
    assert why(customer) == ""
    assert "Why" not in text_of(admin_client.get(page_url(customer)))


def test_when_it_is_due(working: None) -> None:
    now = timezone.now()
    assert why(make_customer()) == "It is due. A worker takes what has been due for longest first."
    soon = why(make_customer(due_at=now + timedelta(seconds=12)))
    assert soon.startswith(("It is due in 12 s: a change waits a little", "It is due in 11 s: a change waits a little"))
    failed = make_customer(due_at=now + timedelta(minutes=3), attempts=3, error_message="Too busy.")
    assert why(failed).startswith("3 attempts failed: Too busy. It is tried again in ")
    assert "It is sent alone" in why(make_customer(batch_limit=1))


def test_nobody_is_there_to_send(db: None, settings: Any) -> None:
    assert "No worker is running for the queue “default”" in why(make_customer())
    settings.RQ_QUEUES = {"default": {"URL": "redis://127.0.0.1:9/0"}}
    assert "Nothing is sent without Redis" in why(make_customer())


def test_sending_is_off_stopped_or_paused(working: None, settings: Any) -> None:
    from blueshift_sync.delivery.redis import account_digest

    pause_calls(20)
    assert "All sending pauses for another 20 s" in why(make_customer())
    SendingStop.objects.create(account=account_digest(), code="x", reason="Not authorized.", probe_at=timezone.now())
    assert "Blueshift refuses the key: Not authorized." in why(make_customer())
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    assert "“ENABLED”] is False" in why(make_customer())


def test_a_membership_waits_for_its_customer_or_its_list(working: None) -> None:
    assert why(make_membership()).startswith("The customer goes first")
    in_step = make_customer(state=State.SYNCED)
    assert why(make_membership(customer=in_step)).startswith("It is due.")
    gone = make_list(status=CustomerList.Status.DELETED)
    assert why(make_membership(customer=in_step, customer_list=gone)) == "The list has been deleted in Blueshift."


def test_it_is_being_sent(working: None) -> None:
    assert why(make_customer(state=State.SENDING)).startswith("A worker is sending it now.")


def test_it_failed(working: None) -> None:
    customer = make_customer()
    run = services.push([customer])
    services.cancel(run)
    assert why(customer).startswith(f"Run #{run.pk} was cancelled before this was sent.")
    refused = make_customer(state=State.FAILED, error_code="email_invalid", error_message="No e-mail.")
    assert why(refused).startswith("email_invalid: No e-mail. It is tried again with its next change")
    unsendable = make_customer(state=State.FAILED, error_code="source_error", error_message="It broke.")
    assert why(unsendable).startswith("It broke. It can't be sent as it is")


def test_it_is_excluded(working: None) -> None:
    assert "include() says" in why(make_customer(state=State.EXCLUDED, error_code="excluded"))
    assert "was deleted on the site" in why(make_customer(state=State.EXCLUDED, error_code="source_deleted"))
    customer = make_customer()
    services.exclude(services.Selection.of([customer], Customer))
    assert "Somebody excluded it here" in why(customer)


def test_the_page_says_it_with_the_way_out(admin_client: Client) -> None:
    customer = make_customer(run=make_run())
    services.exclude(services.Selection.of([customer], Customer))
    page = admin_client.get(page_url(customer))
    assert "Why isn't it sent?" in text_of(page)
    assert 'name="action" value="take_in"' in page.content.decode()
    admin_client.post(list_url(Customer), action("take_in", customer, _from_page=1))
    page = admin_client.get(page_url(customer))
    assert "Why is it waiting?" in text_of(page)
    assert {f'value="{name}"' in page.content.decode() for name in ("push", "preview", "leave_out")} == {True}


def test_a_button_excludes_without_asking_and_comes_back(admin_client: Client) -> None:
    customer = make_customer()
    response = admin_client.post(list_url(Customer), action("leave_out", customer, _from_page=1))
    assert response["Location"] == page_url(customer)
    customer.refresh_from_db()
    assert customer.state == State.EXCLUDED


# Preview


def test_a_preview_tells_where_the_mirror_is_behind(admin_client: Client) -> None:
    user = User.objects.create(username="ada", first_name="Ada", email="ada@example.com")
    from blueshift_sync.sources import CustomerSource, register
    from blueshift_sync.sources.registration import unregister

    try:

        @register(User)
        class Users(CustomerSource):
            email = "email"
            firstname = "first_name"

        services.capture([user])
        customer = Customer.objects.get(source_id=str(user.pk))
        page = text_of(admin_client.post(list_url(Customer), action("preview", customer)))
        assert "they say what the mirror says" in page
        User.objects.filter(pk=user.pk).update(first_name="Augusta")
        page = text_of(admin_client.post(list_url(Customer), action("preview", customer)))
        assert "The mirror is behind the site" in page
        assert f'{user.pk} firstname "Ada" "Augusta"' in page
        customer.refresh_from_db()
        assert customer.firstname == "Ada"
    finally:
        unregister(User)
