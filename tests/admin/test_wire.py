"""Bodies as people read them, and the command that makes a call again."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import time
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags
from hypothesis import given
from hypothesis import strategies as st

from blueshift_sync.admin import wire
from blueshift_sync.admin.wire import Body, coloured, curl, masked
from blueshift_sync.models import ApiCall
from tests.factories import make_call, make_customer, make_membership, make_result

from .conftest import Login
from .pages import page_url, text_of
from .test_admin_look import luminance, stylesheet

SCRIPT = "</pre><script>alert(1)</script>"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=20,
)


def shown(text: str, length: int | None = None) -> str:
    """What the page says, without the colours."""
    return html.unescape(strip_tags(coloured(Body(text, len(text) if length is None else length))))


@given(anything, st.sampled_from([None, 1, 4]), st.booleans())
def test_json_is_indented_as_python_would(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    page = coloured(Body(text, len(text)))
    bare = html.unescape(re.sub(r'<span class="bsync-(?:key|string|number|word)">|</span>', "", page))
    assert json.loads(bare) == value
    try:
        expected = json.dumps(value, indent=2, ensure_ascii=False)
        expected.encode()
    except UnicodeEncodeError:
        return
    assert bare == expected


def test_its_parts_are_told_apart() -> None:
    page = coloured(Body('{"a": ["b", -1.5e3, true, null, {}, []]}', 40))
    for kind, part in (("key", "a"), ("string", "b")):
        assert f'<span class="bsync-{kind}">&quot;{part}&quot;</span>' in page
    for kind, part in (("number", "-1.5e3"), ("word", "true"), ("word", "null")):
        assert f'<span class="bsync-{kind}">{part}</span>' in page


def test_numbers_and_names_stay_as_they_were_written() -> None:
    assert shown('{"a":1.0,"a":10000000000000000000000,"b":"1\\/2"}') == (
        '{\n  "a": 1.0,\n  "a": 10000000000000000000000,\n  "b": "1\\/2"\n}'
    )


def test_letters_written_as_numbers_are_shown_as_letters_unless_they_are_none() -> None:
    assert shown('"Zo\\u00eb"') == '"Zoë"'
    assert shown('"\\ud800"') == '"\\ud800"'


def test_a_body_that_was_cut_is_shown_as_far_as_it_goes() -> None:
    text = '{"customers":[{"firstname":"Ada"},{"firstname":"Gra'
    assert shown(text, 1000).endswith('{\n      "firstname": "Gra')


@pytest.mark.parametrize(
    "text", ["", "<html>", '{"a"', "NaN", "[" * 100_000, "[" * 50 + "]" * 50, "[1" + ",1" * 40_000]
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_what_cant_be_shown_as_json_is_left_as_it_is(text: str, is_cut: bool) -> None:
    started = time.process_time()
    page = coloured(Body(text, len(text) + (1 if is_cut else 0)))
    assert page == "" or (is_cut and text == '{"a"')
    assert time.process_time() - started < 1


def test_markup_in_a_body_is_text() -> None:
    page = coloured(Body(json.dumps({SCRIPT: SCRIPT}), 0 + len(json.dumps({SCRIPT: SCRIPT}))))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2


def test_secrets_among_headers_are_masked_whatever_was_stored() -> None:
    headers = {"Authorization": "Basic c2VjcmV0Og==", "set-cookie": "secret", "Accept": "application/json"}
    assert masked(headers) == [("Authorization", "***"), ("set-cookie", "***"), ("Accept", "application/json")]
    assert masked({"Authorization": "Basic ***"}) == [("Authorization", "Basic ***")]
    assert masked(None) == []


@pytest.mark.parametrize(
    "body", ['{"name": "O\'Brien"}', '$(touch /tmp/x) `id` \\ " ! %s', "@/etc/passwd", "-d", "a\nb"]
)
def test_the_command_is_safe_in_a_shell(body: str) -> None:
    call = ApiCall(method="POST", url="https://example.com/?a=1&b='", request_headers={"Accept": body, "Host": "x"})
    command = curl(call, Body(body, len(body)))
    expected = [
        *("curl", "--request", "POST", "--user", "secret:", "--header", f"Accept: {body}"),
        *("--data-raw", body, "https://example.com/?a=1&b='"),
    ]
    assert shlex.split(command.replace(wire.KEY_PLACEHOLDER, "secret").replace("\\\n", "")) == expected
    told = subprocess.run(
        ["sh", "-c", f"curl() {{ printf '%s\\0' curl \"$@\"; }}; BLUESHIFT_API_KEY=secret; {command}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split("\0")[:-1] == expected


@pytest.mark.parametrize("body", [None, Body("{", 5_000_000)])
def test_a_body_that_isnt_at_hand_comes_from_a_file(body: Body | None) -> None:
    call = ApiCall(method="POST", url="https://example.com/", request_headers={"Authorization": "Basic ***"})
    command = curl(call, body)
    assert "--data-binary @body.json" in command
    assert "Basic" not in command


# On the page


@pytest.mark.parametrize("part", ["key", "string", "number", "word"])
def test_json_can_be_read_in_both_themes(part: str) -> None:
    tone = re.search(rf"\.bsync-json \.bsync-{part} {{ color: var\(--bsync-(\w+)-fg\); }}", stylesheet())
    assert tone
    colours = re.search(rf"--bsync-{tone[1]}-fg: light-dark\((#\w{{6}}), (#\w{{6}})\)", stylesheet())
    assert colours
    for foreground, background in zip(colours.groups(), ("#f8f8f8", "#212121"), strict=True):  # the admin's own
        darker, lighter = sorted([luminance(foreground), luminance(background)])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.django_db
def test_a_long_body_is_cut_and_says_so(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SHOWN", 20)
    call = make_call(response_body='{"customers":[],"errors":[]}')
    response = admin_client.get(page_url(call))
    assert "These are the first 20 of its 28 characters." in text_of(response)
    assert response.context["messages_sent"][1].raw == '{"customers":[],"err'


@pytest.mark.django_db
@pytest.mark.parametrize("side", ["request", "response"])
def test_the_raw_body_is_text_and_nothing_else(side: str, admin_client: Client) -> None:
    call = make_call(**{f"{side}_body": f"{SCRIPT}\n" * 3})
    address = f"/admin/blueshift_sync/apicall/{call.pk}/body/{side}/"
    assert f'href="{address}"' in admin_client.get(page_url(call)).content.decode()
    response = admin_client.get(address)
    assert response.content.decode() == f"{SCRIPT}\n" * 3
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]


def test_the_raw_body_needs_its_permission(login: Login) -> None:
    call = make_call()
    address = f"/admin/blueshift_sync/apicall/{call.pk}/body/request/"
    assert [
        login(*permissions).get(address).status_code
        for permissions in ([], ["view_apicall"], ["view_apicall_body"], ["view_apicall", "view_apicall_body"])
    ] == [403, 403, 403, 200]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["0/body/request/", "{pk}/body/error/"])
def test_there_are_no_other_raw_bodies(path: str, admin_client: Client) -> None:
    address = f"/admin/blueshift_sync/apicall/{path.format(pk=make_call().pk)}"
    assert admin_client.get(address).status_code == 404


def test_without_the_permission_no_body_is_read_nor_in_the_command(login: Login) -> None:
    call = make_call(request_body='{"email":"secret@example.com"}', request_headers={"Authorization": "Basic ***"})
    response = login("view_apicall").get(page_url(call))
    assert "secret" not in response.content.decode()
    assert "--data-binary @body.json" in text_of(response)
    assert "it isn't part of the command" in text_of(response)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"method": "GET", "request_body": ""}, "A request of this kind has no body."),
        ({"response_body": ""}, "The body is empty."),
    ],
)
def test_why_there_is_no_body(fields: dict[str, Any], sentence: str, admin_client: Client) -> None:
    assert sentence in text_of(admin_client.get(page_url(make_call(**fields))))


@pytest.mark.django_db
def test_markup_in_a_call_is_text_in_its_command_too(admin_client: Client) -> None:
    call = make_call(request_body=SCRIPT, url=f"https://example.com/{SCRIPT}", request_headers={SCRIPT: SCRIPT})
    page = admin_client.get(page_url(call)).content.decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") >= 5


@pytest.mark.django_db
def test_what_is_masked_is_said_beside_the_command(admin_client: Client, settings: Any) -> None:
    call = make_call()
    assert "REDACT" not in text_of(admin_client.get(page_url(call)))
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["email"]}
    assert "REDACT" in text_of(admin_client.get(page_url(call)))


# Attempts


@pytest.mark.django_db
def test_the_other_attempts_of_the_same_are_linked(admin_client: Client) -> None:
    customer = make_customer()
    calls = [make_call(attempt=number) for number in (1, 2, 3)]
    for call, outcome in zip(calls, ("RETRY", "UNKNOWN", "ACCEPTED"), strict=True):
        make_result(call=call, customer=customer, version=4, outcome=outcome)
    newer, removal = make_call(), make_call(endpoint="CUSTOMER_DELETE")
    make_result(call=removal, customer=customer, version=4)
    make_result(call=newer, customer=customer, version=5)
    response = admin_client.get(page_url(calls[1]))
    page = response.content.decode()
    assert "Attempt 2 of 3" in text_of(response)
    assert f"#{calls[1].pk}, this one" in text_of(response)
    assert all(page_url(call) in page for call in (calls[0], calls[2]))
    assert not any(page_url(call) in page for call in (newer, removal))


@pytest.mark.django_db
def test_attempts_of_a_membership_are_not_those_of_its_customer(admin_client: Client) -> None:
    membership = make_membership()
    first, second, other = (make_call(endpoint="LIST_ADD") for _ in range(3))
    for call in (first, second):
        make_result(call=call, customer=membership.customer, membership=membership)
    make_result(call=other, customer=membership.customer)
    response = admin_client.get(page_url(second))
    assert "Attempt 2 of 2" in text_of(response)
    assert page_url(other) not in response.content.decode()


@pytest.mark.django_db
def test_many_attempts_are_cut(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.attempts.ATTEMPTS", 2)
    customer = make_customer()
    calls = [make_call() for _ in range(9)]
    for call in calls:
        make_result(call=call, customer=customer)
    with django_assert_max_num_queries(14):
        response = admin_client.get(page_url(calls[4]))
    assert "Attempt 3 of 5 that are looked at" in text_of(response)


@pytest.mark.django_db
@pytest.mark.parametrize("endpoint", ["CUSTOMERS_BULK", "LIST_ADD"])
def test_an_open_call_names_what_it_carries(endpoint: str, admin_client: Client, login: Login) -> None:
    make = make_customer if endpoint == "CUSTOMERS_BULK" else make_membership
    row = make(state="SENDING")
    other = make(state="SENDING")
    call = make_call(state="OPEN", endpoint=endpoint, claim_token=row.claim_token, status_code=None, response_body="")
    page = admin_client.get(page_url(call)).content.decode()
    assert page_url(row) in page
    assert page_url(other) not in page
    assert "Records on their way" not in text_of(login("view_apicall").get(page_url(call)))
