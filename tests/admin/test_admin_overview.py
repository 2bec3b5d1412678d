"""The overview: what it says of a site, to whom, and at what cost."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rq import Worker

from blueshift_sync.admin import overview
from blueshift_sync.admin.charts import rounded_up
from blueshift_sync.delivery import state_counts
from blueshift_sync.delivery.figures import keep_figures, note_sweep
from blueshift_sync.delivery.redis import account_digest
from blueshift_sync.models import CallSum, Overview, SendingStop
from project.embedded_redis import EmbeddedRedis
from tests.factories import make_call, make_customer, make_membership, make_removal, make_run
from tests.redis_trouble import Trouble, in_trouble

from .conftest import Login
from .pages import list_url, page_url, text_of
from .test_admin_look import InlineCode, luminance, stylesheet

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def in_order(db: None) -> None:
    """A worker is there, and the sweep has just run."""
    note_sweep(timezone.now())
    queue = django_rq.get_queue("default")
    Worker([queue], connection=queue.connection, name="a-worker").register_birth()


def page_of(client: Client) -> str:
    response = client.get(list_url(Overview))
    assert response.status_code == 200
    return response.content.decode()


def text_on(client: Client) -> str:
    return text_of(client.get(list_url(Overview)))


# What it says


@pytest.mark.usefixtures("in_order")
def test_all_is_well(admin_client: Client) -> None:
    make_customer(state="SYNCED", due_at=None)
    text = text_on(admin_client)
    assert "All is well" in text
    assert "Everything is in step." in text
    assert "1, of which 0 busy" in text
    assert "bsync-notice" not in page_of(admin_client)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize(
    ("state", "headline"), [("FAILED", "Working; some records failed"), ("PENDING", "Working"), ("SENDING", "Working")]
)
def test_what_isnt_in_step_is_in_the_headline(admin_client: Client, state: str, headline: str) -> None:
    make_customer(state=state)
    badge = re.search(r'aria-live="polite">\s*<p><span[^>]*>([^<]*)', page_of(admin_client))
    assert badge
    assert badge[1] == headline


def test_a_new_site_says_what_to_do_next(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_on(admin_client)
    for sentence in (
        "Needs attention",
        "No worker is running: start “manage.py rqworker default”.",
        "start “manage.py rqcron blueshift_sync.cron”",
        "Nothing is mirrored yet.",
        "Run “manage.py blueshift_backfill”",
        "Nothing has been sent yet.",
    ):
        assert sentence in text
    monkeypatch.setattr(overview, "all_sources", lambda: iter(()))
    assert "Write a blueshift.py in one of your apps" in text_on(admin_client)


@pytest.mark.usefixtures("in_order")
def test_numbers_lead_to_their_rows(admin_client: Client) -> None:
    make_customer(waiting_since=timezone.now() - 4 * MINUTE - timedelta(seconds=30))
    make_membership(customer=make_customer(state="FAILED", due_at=None), due_at=None)
    make_removal(due_at=None, error_code="approval_needed")
    page = page_of(admin_client)
    links = re.findall(r'href="(/admin/blueshift_sync/\w+/\?[^"]+)">([\d,]+)<', page)
    assert len(links) == 5  # a customer excluded, one waiting and one failed, a membership, a removal
    for address, number in links:
        rows = admin_client.get(address.replace("&amp;", "&"))
        assert rows.status_code == 200, address
        assert rows.context["cl"].result_count == int(number), address
    text = text_on(admin_client)
    assert "the oldest for 4 minutes" in text
    assert "1 for somebody to approve" in text


@pytest.mark.usefixtures("in_order")
def test_many_rows_are_told_with_the_time_of_their_count(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_counts, "BOUND", 2)
    for _ in range(4):
        make_customer(state="SYNCED", due_at=None)
    assert ">more than 2</a>" in page_of(admin_client)
    keep_figures()
    assert re.search(r">4</a><span class=\"bsync-second\">counted \d+ seconds? ago", page_of(admin_client))


def refuse_key() -> SendingStop:
    return SendingStop.objects.create(
        account=account_digest(), code="unauthorized", reason="<b>No.</b>", probe_at=timezone.now()
    )


def test_a_stop_is_explained_and_the_key_can_be_checked(login: Login, blueshift: Any) -> None:
    refuse_key()
    assert "Check the key now" not in text_on(login("view_customer"))
    client = login("view_customer", "push_customer")
    page = page_of(client)
    assert "Sending is stopped since" in page
    assert "&lt;b&gt;No.&lt;/b&gt;" in page
    response = client.post(reverse("admin:blueshift_sync_check_key"), {"from_overview": "1"}, follow=True)
    assert response.redirect_chain == [(list_url(Overview), 302)]
    assert "Blueshift takes the key. Sending goes on." in text_of(response)
    assert not SendingStop.objects.exists()


@pytest.mark.usefixtures("in_order")
def test_switched_off_is_said(admin_client: Client, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    text = text_on(admin_client)
    assert "Switched off" in text
    assert "BLUESHIFT_SYNC[“ENABLED”] is False" in text


@pytest.mark.parametrize("trouble", Trouble, ids=lambda trouble: trouble.name.lower())
def test_redis_away_is_a_sentence_and_no_error_page(
    admin_client: Client, own_redis: EmbeddedRedis, trouble: Trouble
) -> None:
    with in_trouble(own_redis, trouble):
        text = text_on(admin_client)
    assert ("Redis can't be used" in text) == (trouble is not Trouble.FULL)  # a full one still answers


# Charts


def make_calls() -> None:
    now = timezone.now()
    for age in (MINUTE, 40 * MINUTE, 90 * MINUTE, timedelta(days=3)):
        make_call(started_at=now - age, record_count=1000, error_count=5, rejected_count=2, duration_ms=100)
    keep_figures()


@pytest.mark.usefixtures("in_order")
def test_charts_have_their_numbers_in_a_table_and_in_words(admin_client: Client) -> None:
    make_calls()
    assert CallSum.objects.count() >= 2
    page = page_of(admin_client)
    titles = re.findall(r'role="img" aria-labelledby="([\w-]+)">\s*<title id="\1">([^<]+)</title>', page)
    spans = {"hour": 2, "day": 3, "month": 4}
    assert dict(titles).keys() == {f"bsync-{span}-{plot}" for span in spans for plot in ("records", "durations")}
    for span, calls in spans.items():
        sentence = f"{calls * 995:,} accepted, {calls * 2} rejected, {calls * 3} to be sent again"
        assert sentence in dict(titles)[f"bsync-{span}-records"]
        section = page.split(f'id="bsync-chart-{span}"')[1].split("</section>")[0]
        rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", section)
        cells = [re.findall(r"<td>([^<]*)</td>", row) for row in rows]
        assert sum(int(row[0]) for row in cells) == calls
        assert sum(int(row[2].replace(",", "")) for row in cells) == calls * 995
        assert sum("ms" in row[5] for row in cells) >= 1
        assert section.count('<rect class="bsync-rejected"') >= 1


@pytest.mark.usefixtures("in_order")
def test_charts_are_drawn_with_numbers_that_svg_knows_in_every_language(admin_client: Client, settings: Any) -> None:
    settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = "de", True
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "LocaleMiddleware" not in name]
    make_calls()
    page = page_of(admin_client)
    assert "995" in page
    live = page.split('id="bsync-live"')[1].split("</main>")[0]
    coordinates = re.findall(r' (?:x|y|width|height|viewBox)="([^"]*)"', live)
    assert coordinates
    assert all(re.fullmatch(r"-?\d+(\.\d+)?|0 0 \d+ 100", each) for each in coordinates), coordinates
    for path in re.findall(r' d="([^"]*)"', live):
        assert re.fullmatch(r"([MLH][-\d. ]+)*", path)


@pytest.mark.usefixtures("in_order")
def test_times_are_those_of_the_time_zone(admin_client: Client) -> None:
    make_calls()
    with timezone.override("Asia/Kathmandu"):  # five hours and three quarters ahead
        page = page_of(admin_client)
        hours = {f"{timezone.localtime(timezone.now() - age):%H}:00–" for age in (timedelta(), MINUTE)}
    assert "Times are those of Asia/Kathmandu." in page
    shown = re.findall(r'<th scope="row">(\d\d:\d\d–)', page.split('id="bsync-chart-day"')[1])
    assert len(shown) == 24
    assert shown[-1] in hours


@pytest.mark.usefixtures("in_order")
def test_calls_that_arent_summed_up_yet_are_told(admin_client: Client) -> None:
    make_call(started_at=timezone.now() - timedelta(hours=5))
    assert "The charts of the day and the month lack calls since" in text_on(admin_client)
    keep_figures()
    assert "The charts of the day and the month lack calls since" not in text_on(admin_client)


@pytest.mark.parametrize(("value", "top"), [(0, 2), (1, 2), (3, 4), (11, 20), (95, 100), (101, 200), (650, 800)])
def test_scales_end_with_a_round_number(value: int, top: int) -> None:
    assert rounded_up(value) == top


@pytest.mark.parametrize("mark", ["accepted", "rejected", "retried", "median", "percentile"])
def test_marks_stand_out_in_both_themes(mark: str) -> None:
    declared = re.search(rf"--bsync-{mark}: light-dark\((#\w{{6}}), (#\w{{6}})\)", stylesheet())
    assert declared
    for colour, background in zip(declared.groups(), ("#ffffff", "#121212"), strict=True):
        darker, lighter = sorted([luminance(colour), luminance(background)])
        assert (lighter + 0.05) / (darker + 0.05) >= 3


# Runs


@pytest.mark.usefixtures("in_order")
def test_running_runs_come_first_and_none_comes_twice(admin_client: Client) -> None:
    now = timezone.now()
    old = make_run(state="RUNNING", created_at=now - timedelta(days=1), heartbeat_at=now)
    new = make_run(state="RUNNING", created_at=now, heartbeat_at=now)
    for minutes in range(1, 15):
        make_run(state="SUCCEEDED", created_at=now - minutes * MINUTE)
    section = page_of(admin_client).split('aria-label="Running and recent runs"', 1)[1]
    shown = re.findall(r'<th scope="row"><a href="([^"]+)"', section)
    assert set(shown[:2]) == {page_url(old), page_url(new)}
    assert len(shown) == len(set(shown)) == 11


# To whom, and at what cost


def test_each_section_needs_the_permission_for_its_rows(login: Login) -> None:
    make_customer(waiting_since=timezone.now())
    make_membership(customer=make_customer())
    make_removal(due_at=None, error_code="approval_needed", customer=None)
    make_calls()
    make_run()
    sections = {
        "view_customer": "customers wait",
        "view_listmembership": "1 list membership waits",
        "view_customerremoval": "1 removal of a customer waits until",
        "view_apicall": "The last hour",
        "view_syncrun": "Running and recent runs",
    }
    for permission in sections:
        text = text_on(login(permission))
        assert {name for name, sentence in sections.items() if sentence in text} == {permission}
    assert "Calls in the last minute" in text_on(login("view_apicall"))
    assert "Calls in the last minute" not in text_on(login("view_syncrun"))


def test_who_may_view_none_of_it_is_refused(login: Login, client: Client) -> None:
    assert login("view_attributetype").get(list_url(Overview)).status_code == 403
    assert client.get(list_url(Overview)).status_code == 302


@pytest.mark.usefixtures("in_order")
def test_it_asks_for_no_more_with_more_rows(admin_client: Client) -> None:
    counts = []
    for number in (1, 10):
        for _ in range(number):
            make_membership(customer=make_customer())
            make_removal()
            make_run(state="RUNNING")
        make_calls()
        with CaptureQueriesContext(connection) as queries:
            page_of(admin_client)
        counts.append(len(queries))
    # The session and the user, six for the status, three for the oldest that wait, three for the charts, two for runs.
    assert counts == [16, 16]


@pytest.mark.usefixtures("in_order")
def test_it_works_without_inline_code_and_says_how_to_refresh(admin_client: Client) -> None:
    make_calls()
    make_run()
    page = page_of(admin_client)
    assert InlineCode(page).found == []
    assert re.search(r'<script src="[^"]*blueshift_sync/refresh\.js" defer></script>', page)
    assert finders.find("blueshift_sync/refresh.js")
    assert 'data-bsync-live="5"' in page
    assert "<th>" not in page.split('id="bsync-live"')[1]
