"""Whatever is written into a form or an address: an error on the page, never a 500."""

from __future__ import annotations

import pytest
from django.test import Client

from blueshift_sync.models import Customer

from .pages import add_url, list_url, text_of

pytestmark = pytest.mark.django_db

NASTY = {
    "a number with too many digits": '{"x": ' + "9" * 5000 + "}",
    "lists without end": "[" * 5000 + "]" * 5000,
    "nested too deep": '{"x": ' + "[" * 40 + "]" * 40 + "}",
    "half a character": r'{"x": "\ud800"}',
    "a name of Blueshift's own": '{"bsft_x": 1}',
    "no name": '{"": 1}',
    "no object": "[1]",
    "no JSON": "{x",
}


@pytest.mark.parametrize("attributes", NASTY.values(), ids=NASTY.keys())
def test_attributes_that_cannot_be_sent_are_told_on_the_page(admin_client: Client, attributes: str) -> None:
    written = {"customer_id": "ada", "attributes": attributes, "subscription_groups": "[]"}
    response = admin_client.post(add_url(Customer), written)
    assert response.status_code == 200
    assert "Please correct the error below." in text_of(response)
    assert not Customer.objects.exists()


@pytest.mark.parametrize("query", ["state__exact", "error_code__exact", "error_cause__exact", "waits_for", "q"])
def test_a_list_refuses_a_nul_that_no_column_can_hold(query: str, admin_client: Client) -> None:
    address = f"{list_url(Customer)}?{query}=%00"
    assert admin_client.get(address)["Location"].endswith("?e=1")
    posted = {"action": "push", "_selected_action": "1", "select_across": 1, "index": 0}
    assert admin_client.post(address, posted)["Location"].endswith("?e=1")


def test_what_is_no_cause_has_no_page(admin_client: Client) -> None:
    assert admin_client.get("/admin/blueshift_sync/failuresbycause/send/customer/%00/").status_code == 404
