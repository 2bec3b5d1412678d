"""What came from outside is shown as text, on every list and every page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test import Client

from blueshift_sync.models import Customer, ListMembership, RecordResult

from .found import VIEWS, Page, all_pages, crawl, is_page, view_at
from .pages import MODELS, list_url, page_url, registered_models
from .rows import make_one_of_each

SCRIPT = '<script>alert("x")</script>'
SHORT = "<b>x</b>"  # for the columns that hold no more
#: What a person or another program might put into a column of text.
NASTY = {
    "a script": SCRIPT,
    "quotes": "\"'><x-nasty onnasty=\"1\" onnasty='1'>{{ nasty }}{% nasty %}\u202e\u2067" + SCRIPT,
    "an address": "javascript:alert(1)//<x-nasty>",
    "ten thousand": '"><x-nasty>' + "10kB" * 2500,
}


def nasty_fields(model: type[models.Model], nasty: str = SCRIPT) -> dict[str, Any]:
    """`nasty` for every column of text that isn't a choice, and for every key and value of JSON."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.JSONField):
            values[field.name] = [{"id": nasty}] if field.default is list else {nasty: {nasty: [nasty]}}
        elif isinstance(field, models.CharField | models.TextField) and not field.choices:
            room = field.max_length or len(nasty)
            values[field.name] = SHORT if nasty == SCRIPT and room < len(SCRIPT) else nasty[:room]
    return values


def nasty_rows_of(nasty: str, *, by_hand: bool) -> dict[type[models.Model], models.Model]:
    fields = {str(model._meta.model_name): nasty_fields(model, nasty) for model in MODELS}
    fields["syncrun"]["requested_by"] = User.objects.create(username=nasty[:150])
    # What failed has the most to say.
    fields["customer"]["state"] = fields["listmembership"]["state"] = Customer.State.FAILED
    fields["recordresult"]["outcome"] = RecordResult.Outcome.REJECTED
    if by_hand:
        for model in (Customer, ListMembership):
            fields[str(model._meta.model_name)] |= {"source_type": None, "source_id": None}
    return make_one_of_each(**fields)


@pytest.fixture(params=["owned by a source", "made by hand"])
def nasty_rows(request: pytest.FixtureRequest, db: None) -> dict[type[models.Model], models.Model]:
    return nasty_rows_of(SCRIPT, by_hand=request.param == "made by hand")


def test_every_model_is_in_the_admin() -> None:
    assert registered_models() == set(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_markup_in_stored_values_is_shown_as_text(
    model: type[models.Model], nasty_rows: dict[type[models.Model], models.Model], admin_client: Client
) -> None:
    for url in (list_url(model), page_url(nasty_rows[model])):
        page = admin_client.get(url).content.decode()
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page
        assert SHORT not in page


def test_markup_in_a_filter_of_the_address_is_shown_as_text(admin_client: Client) -> None:
    page = admin_client.get(list_url(Customer), {"error_code__exact": SCRIPT, "q": SCRIPT}).content.decode()
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page


#: Each of the values by a source, but for the first, which is by hand.
STORED = [pytest.param(nasty, nasty == SCRIPT, id=name) for name, nasty in NASTY.items()]


@pytest.mark.parametrize(("nasty", "by_hand"), STORED)
def test_no_page_takes_stored_values_for_markup(nasty: str, by_hand: bool, admin_client: Client) -> None:
    rows = nasty_rows_of(nasty, by_hand=by_hand)
    pages = all_pages(admin_client, rows)
    assert {view_at(page.address) for page in pages} >= {view_at(list_url(model)) for model in MODELS}
    for page in pages:
        assert "x-nasty" not in page.tags, page.address
        assert "onnasty" not in page.attributes, page.address
        assert SCRIPT not in page.text, page.address
        assert not [link for link in page.links if link.lower().startswith("javascript:")], page.address


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY.keys())
def test_no_page_takes_its_address_for_markup(nasty: str, admin_client: Client) -> None:
    rows = make_one_of_each()
    crawled = list(crawl(admin_client).values())
    for view in VIEWS:
        address = view.address_on(crawled, rows)
        asked = {"q": nasty[:2000], "error_code__exact": nasty[:2000], "state__exact": nasty[:2000]}
        response = admin_client.get(address, asked, follow=True)
        page = Page(address, response.content.decode() if is_page(response) else "")
        assert "x-nasty" not in page.tags, address
        assert "onnasty" not in page.attributes, address
        assert SCRIPT not in page.text, address
