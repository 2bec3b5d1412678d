"""A file of identifiers in the admin: uploaded, looked at, carried out or thrown away."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from blueshift_sync.admin import imports as admin_imports
from blueshift_sync.models import CustomerList, ListImport, ListMembership, SyncRun
from tests.factories import make_customer, make_import, make_list

from .conftest import Login
from .pages import action, list_url, page_url, text_of

pytestmark = pytest.mark.django_db

MAY_CHANGE = ("view_customerlist", "push_listmembership", "add_listmembership", "change_listmembership")


def upload(client: Client, customer_list: CustomerList, raw: bytes, direction: str = "add", **options: Any) -> Any:
    file = SimpleUploadedFile("people.csv", raw, content_type="text/csv")
    return client.post(page_url(customer_list, "import"), {"file": file, "direction": direction}, **options)


def post(client: Client, name: str, row: ListImport) -> Any:
    return client.post(list_url(ListImport), {**action(name, row), "_from_page": "1"}, follow=True)


@pytest.mark.parametrize(("direction", "wanted"), [("add", True), ("remove", False)])
def test_from_upload_to_memberships(direction: str, wanted: bool, admin_client: Client) -> None:
    news, ada = make_list(), make_customer(email="ada@x.com")
    response = upload(admin_client, news, b"email\nADA@x.com\nnobody@x.com\n", direction, follow=True)
    row = ListImport.objects.get()
    page = text_of(response)
    assert response.redirect_chain[-1][0] == page_url(row)
    label = f"{'Add' if wanted else 'Remove'} this 1 customer"
    for text in (label, "Nothing has happened yet.", "1 call or more", "nobody@x.com", "people.csv"):
        assert text in page
    assert not ListMembership.objects.exists()
    done = post(admin_client, "start", row)
    membership = ListMembership.objects.get()
    assert (membership.customer, membership.customer_list, membership.is_member) == (ada, news, wanted)
    assert "Sending 1 list membership" in text_of(done)
    run = SyncRun.objects.get()
    assert (run.trigger, run.requested_by) == ("ADMIN", ListImport.objects.get().requested_by)
    told = {entry.object_id: entry.change_message for entry in LogEntry.objects.all()}
    assert set(told) == {str(news.pk), str(run.pk)}
    assert all(label in text and "x.com" not in text and "people" not in text for text in told.values())


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "The submitted file is empty."),
        (b"name;phone\nAda;1\n", "Line 1 names no column “email” or “customer_id”"),
        (b"a\x00b", "has a NUL byte"),
        (b"email\n\n", "There is not one identifier in it."),
    ],
)
def test_a_file_that_cannot_be_read_is_told_on_the_form(raw: bytes, sentence: str, admin_client: Client) -> None:
    response = upload(admin_client, make_list(), raw)
    assert response.status_code == 200
    assert sentence in text_of(response)
    assert not ListImport.objects.exists()


def test_a_file_that_is_too_large_is_told_with_the_limit(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_imports, "LARGEST_FILE", 1024**2)
    response = upload(admin_client, make_list(), b"email\n" + b"ada@x.com\n" * 200_000)
    assert "The file has 2 MB, and may have 1 MB." in text_of(response)


def test_what_is_missing_is_asked_for(admin_client: Client) -> None:
    assert "This field is required." in text_of(admin_client.post(page_url(make_list(), "import"), {"direction": "x"}))


@pytest.mark.parametrize("missing", MAY_CHANGE)
def test_each_permission_is_needed_to_upload_and_to_start(missing: str, login: Login) -> None:
    news, client = make_list(), login(*(set(MAY_CHANGE) - {missing}))
    row = make_import(make_customer(), customer_list=news)
    assert client.get(page_url(news, "import")).status_code == 403
    assert upload(client, news, b"ada@x.com\n").status_code == 403
    if missing != "view_customerlist":
        assert client.get(page_url(row)).status_code == 403
        for name in ("start", "throw_away"):
            assert client.post(list_url(ListImport), action(name, row)).status_code == 403
    assert ListImport.objects.get().state == "READY"


def test_who_may_only_look_sees_it_and_is_offered_nothing(login: Login) -> None:
    row, client = make_import(make_customer()), login("view_listimport")
    page = client.get(page_url(row))
    assert "people.csv" in text_of(page)
    assert 'value="start"' not in page.content.decode()
    assert client.post(list_url(ListImport), action("start", row)).status_code == 403


def test_thrown_away_it_says_so(admin_client: Client) -> None:
    row = make_import(make_customer())
    assert "Nothing was changed" in text_of(post(admin_client, "throw_away", row))
    page = admin_client.get(page_url(row))
    assert "The file was thrown away" in text_of(page)
    assert 'value="start"' not in page.content.decode()
    assert "isn't waiting to be carried out" in text_of(post(admin_client, "start", row))


def test_where_there_is_nothing_to_do_nothing_is_offered(admin_client: Client) -> None:
    row = make_import(problems=[(1, "x@x.com", "unknown")])
    page = admin_client.get(page_url(row))
    assert "There is nothing to do" in text_of(page)
    assert 'value="start"' not in page.content.decode()


def test_a_broken_line_is_told_with_its_number_and_the_others_are_read(admin_client: Client) -> None:
    make_customer(email="ada@x.com")
    raw = 'name,email\nZoë,zoe@x.com\n"Bob,bob@x.com\nAda,ada@x.com\n'.encode("latin-1")
    page = text_of(upload(admin_client, make_list(), raw, follow=True))
    assert "Add this 1 customer" in page
    for text in ("The line isn’t written in UTF-8.", "The quotation marks in the line don’t fit together."):
        assert text in page


@pytest.mark.parametrize(
    ("key", "raw", "sentence"),
    [
        ("customer_id", b"ada@x.com\nbob@x.com\n", "look like e-mail addresses. If that is what they are"),
        ("email", b"email\nC-1\nC-2\n", "read as e-mail addresses, and are none. If they are customer IDs"),
    ],
)
def test_a_file_by_the_other_identifier_says_how_to_mend_it(
    key: str, raw: bytes, sentence: str, admin_client: Client
) -> None:
    ada, news = make_customer(customer_id="C-1", email="ada@x.com"), make_list(identifier_key=key)
    assert sentence in text_of(upload(admin_client, news, raw, follow=True))
    lines = raw.decode().removeprefix("email\n")
    heading = "customer_id" if key == "email" else "email"
    mended = text_of(upload(admin_client, news, f"{heading}\n{lines}".encode(), follow=True))
    assert sentence not in mended
    assert "Add this 1 customer" in mended
    assert [match.customer for match in ListImport.objects.latest("pk").matches.all()] == [ada]


def test_some_unknown_lines_are_no_other_identifier(admin_client: Client) -> None:
    make_customer(customer_id="C-1")
    page = text_of(upload(admin_client, make_list(identifier_key="customer_id"), b"C-1\nada@x.com\n", follow=True))
    assert "look like e-mail addresses" not in page


def test_who_is_excluded_is_told_apart(admin_client: Client) -> None:
    make_customer(email="ada@x.com", state="EXCLUDED", error_code="excluded")
    make_customer(email="bob@x.com")
    page = text_of(upload(admin_client, make_list(), b"ada@x.com\nbob@x.com\n", follow=True))
    assert "Excluded, themselves or on this list: nothing is sent of them until they are included 1" in page
    assert "Add this 1 customer" in page


def test_a_file_that_is_still_to_be_read_says_so(admin_client: Client) -> None:
    page = admin_client.get(page_url(make_import(state="UPLOADING")))
    assert "The file is being read. Nothing has happened yet." in text_of(page)
    assert "data-bsync-live" in page.content.decode()


def test_a_page_that_goes_on_refreshes_itself(admin_client: Client) -> None:
    matching = make_import(state="MATCHING", lines=4000, matched=1000, parts_read=4, parts_matched=1)
    page = admin_client.get(page_url(matching))
    assert "1,000 of 4,000 lines have been matched (25 %)." in text_of(page)
    assert "data-bsync-live" in page.content.decode()
    assert "data-bsync-live" not in admin_client.get(page_url(make_import())).content.decode()


def test_the_first_problems_are_shown_and_all_are_in_the_file(admin_client: Client) -> None:
    problems = [(number, f"nobody{number}@x.com", "unknown") for number in range(1, 40)]
    row = make_import(problems=problems, unknown=120)
    for part, start in ((1, 1001), (2, 2001)):
        more = [[number, f"nobody{number}@x.com", "unknown"] for number in range(start, start + 40)]
        row.parts.create(number=part, problems=more, problem_count=40)
    page = text_of(admin_client.get(page_url(row)))
    assert "nobody39@x.com" in page
    assert "nobody1011@x.com" in page
    assert "nobody1012@x.com" not in page
    lines = list(csv.reader(io.StringIO(downloaded(admin_client, row))))
    assert lines[0] == ["line", "email", "problem", "explanation"]
    assert [line[0] for line in lines[1:]] == [str(n) for n in (*range(1, 40), *range(1001, 1041), *range(2001, 2041))]


def test_no_cell_of_the_file_is_a_formula(admin_client: Client) -> None:
    row = make_import(problems=[(1, "=HYPERLINK(1)@x.com", "unknown")])
    assert "'=HYPERLINK(1)@x.com" in downloaded(admin_client, row)


def test_the_files_lines_are_for_who_may_see_the_import(login: Login) -> None:
    row = make_import(problems=[(1, "x@x.com", "unknown")])
    for permissions in (["view_customerlist"], ["view_listimport"]):
        assert login(*permissions).get(page_url(row, "problems")).status_code == 403
    assert login("view_listimport", "view_customer").get(page_url(row, "problems")).status_code == 200


def downloaded(client: Client, row: ListImport) -> str:
    response = client.get(page_url(row, "problems"))
    assert response["Content-Disposition"].startswith("attachment")
    return b"".join(response).decode()  # type: ignore[call-overload, no-any-return]
