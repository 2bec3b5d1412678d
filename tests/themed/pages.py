"""Run by test_themed_site.py, with the settings of this package."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from blueshift_sync.models import Customer, FailuresByCause, Overview, SyncRun
from tests.admin.pages import MODELS, action, list_url, page_url, text_of
from tests.admin.rows import make_one_of_each
from tests.factories import make_result
from tests.site.models import Account, Badge, Contact, Person

pytestmark = pytest.mark.django_db


def url(model: type[Model], view: str, *args: Any) -> str:
    return reverse(f"admin:site_{model._meta.model_name}_{view}", args=args)


@pytest.mark.django_db(databases="__all__")
def test_the_checks_find_nothing() -> None:
    call_command("check", fail_level="WARNING", stdout=StringIO())


@pytest.mark.parametrize("model", MODELS)
def test_our_own_pages_are_shown_in_the_theme(model: type[Model], admin_client: Client) -> None:
    row = make_one_of_each()[model]
    for address in (list_url(model), page_url(row)):
        response = admin_client.get(address)
        page = response.content.decode()
        assert response.status_code == 200
        assert "unfold/css/styles.css" in page
        assert "blueshift_sync/admin.css" in page
        assert getattr(row, "name", str(row)) in text_of(response) or f"#{row.pk}" in text_of(response)


def test_the_theme_shows_why_nothing_is_sent(admin_client: Client, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = settings.BLUESHIFT_SYNC | {"ENABLED": False}
    assert "“ENABLED”] is False" in text_of(admin_client.get(list_url(Customer)))


@pytest.mark.parametrize("model", [Overview, FailuresByCause])
def test_our_pages_without_rows_are_shown_in_the_theme(model: type[Model], admin_client: Client) -> None:
    response = admin_client.get(list_url(model))
    assert response.status_code == 200
    assert "unfold/css/styles.css" in response.content.decode()


def test_buttons_of_our_pages_work_in_the_theme(admin_client: Client) -> None:
    customer = make_one_of_each()[Customer]
    page = admin_client.get(page_url(customer)).content.decode()
    assert '<input type="hidden" name="action" value="push">' in page
    response = admin_client.post(list_url(Customer), action("push", customer, _from_page=1), follow=True)
    assert "Sending 1 customer" in text_of(response)


@pytest.mark.parametrize(
    ("model", "fields"), [(Person, {"email": "a@example.com"}), (Account, {"login": "a", "email": "a@example.com"})]
)
def test_the_mixin_works_in_the_theme_in_either_order(
    model: type[Model], fields: dict[str, Any], admin_client: Client
) -> None:
    obj = model._default_manager.create(**fields)
    row = Customer.objects.get()
    call = make_result(customer=row).call
    listed = admin_client.get(url(model, "changelist"))
    assert "unfold/css/styles.css" in listed.content.decode()
    assert "Waiting" in text_of(listed)
    assert f'href="{page_url(row)}"' in listed.content.decode()
    shown = admin_client.get(url(model, "change", obj.pk))
    assert "Latest calls" in text_of(shown)
    assert f'href="{page_url(call)}"' in shown.content.decode()
    admin_client.post(url(model, "changelist"), action("blueshift_push", obj))
    assert SyncRun.objects.get().total == 1


def test_a_model_without_source_is_shown_without_us(admin_client: Client) -> None:
    badge = Badge.objects.create(person=Person.objects.create(), colour="red")
    for address in (url(Badge, "changelist"), url(Badge, "change", badge.pk)):
        response = admin_client.get(address)
        assert response.status_code == 200
        assert "blueshift_panel" not in response.content.decode()
        assert "blueshift_state" not in response.content.decode()


def imported(client: Client, model: type[Model], lines: str) -> Any:
    """Uploads the lines and confirms what import-export shows of them."""
    file = SimpleUploadedFile("people.csv", lines.encode(), "text/csv")
    response = client.post(url(model, "import"), {"format": "0", "resource": "0", "import_file": file})
    assert response.status_code == 200
    form = response.context.get("confirm_form")
    assert form is not None, text_of(response)
    return client.post(url(model, "process_import"), form.initial, follow=True)


def addresses() -> list[str]:
    return list(Customer.objects.order_by("email").values_list("email", flat=True))


def test_the_list_has_the_buttons_of_imports_and_our_column(admin_client: Client) -> None:
    Person.objects.create(name="Ann", email="ann@example.com")
    page = admin_client.get(url(Person, "changelist")).content.decode()
    assert url(Person, "import") in page
    assert re.search(r"blueshift_state", page)


def test_an_import_row_by_row_is_captured_once(admin_client: Client) -> None:
    response = imported(admin_client, Person, "id,name,email\n,Ann,ann@example.com\n,Bob,bob@example.com\n")
    assert "2 new" in text_of(response)
    assert addresses() == ["ann@example.com", "bob@example.com"]
    assert set(Customer.objects.values_list("version", flat=True)) == {1}


def test_an_import_in_bulk_is_captured_new_objects_and_old_ones(admin_client: Client) -> None:
    old = Contact.objects.create(address="old@example.com")
    assert addresses() == ["old@example.com"]
    new = "".join(f",new{number}@example.com\n" for number in range(5))
    response = imported(admin_client, Contact, f"contact_key,address\n{old.pk},changed@example.com\n{new}")
    assert "5 new" in text_of(response)
    assert addresses() == ["changed@example.com", *(f"new{number}@example.com" for number in range(5))]
    assert Customer.objects.filter(state="PENDING").count() == 6


def test_objects_whose_keys_the_database_doesnt_tell_are_said(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MySQL does after a bulk_create."""
    bulk_create = Contact.objects.bulk_create

    def forgetful(objects: Any, **options: Any) -> Any:
        bulk_create([Contact(address=obj.address) for obj in objects])

    monkeypatch.setattr(Contact.objects, "bulk_create", forgetful)
    response = imported(admin_client, Contact, "contact_key,address\n,a@example.com\n,b@example.com\n")
    assert "Blueshift isn't told of 2 imported objects" in text_of(response)
    assert "blueshift_backfill" in text_of(response)


def test_an_export_works_beside_the_column(admin_client: Client) -> None:
    Person.objects.create(name="Ann", email="ann@example.com")
    page = admin_client.post(url(Person, "export"), {"format": "0", "resource": "0", "personresource_name": "on"})
    assert page.status_code == 200
