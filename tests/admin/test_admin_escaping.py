"""What came from outside is shown as text, on every list and every page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test import Client

from blueshift_sync.models import Customer, ListMembership

from .pages import MODELS, list_url, page_url, registered_models
from .rows import make_one_of_each

SCRIPT = '<script>alert("x")</script>'
SHORT = "<b>x</b>"  # for the columns that hold no more


def nasty_fields(model: type[models.Model]) -> dict[str, Any]:
    """Markup for every column of text that isn't a choice, and for every key and value of JSON."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.JSONField):
            values[field.name] = [{"id": SCRIPT}] if field.default is list else {SCRIPT: {SCRIPT: [SCRIPT]}}
        elif isinstance(field, models.CharField | models.TextField) and not field.choices:
            values[field.name] = SCRIPT if (field.max_length or 1000) >= len(SCRIPT) else SHORT
    return values


@pytest.fixture(params=["owned by a source", "made by hand"])
def nasty_rows(request: pytest.FixtureRequest, db: None) -> dict[type[models.Model], models.Model]:
    fields = {str(model._meta.model_name): nasty_fields(model) for model in MODELS}
    fields["syncrun"]["requested_by"] = User.objects.create(username=SCRIPT)
    if request.param == "made by hand":
        for model in (Customer, ListMembership):
            fields[str(model._meta.model_name)] |= {"source_type": None, "source_id": None}
    return make_one_of_each(**fields)


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
