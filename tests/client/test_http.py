"""What the transport sends, to whom, and over which connections; over real sockets."""

import base64
import threading
from pathlib import Path

import pytest

from blueshift_sync import __version__
from blueshift_sync.client import (
    MAX_ANSWER_BYTES,
    BlueshiftClient,
    CallOutcome,
    TransportFailure,
    find_customer,
    list_add,
    read_answer,
)
from tests.client.server import (
    KEY,
    REQUEST,
    SUCCESS,
    always,
    ask,
    ask_once,
    client_for,
    respond,
    serving,
)


def test_the_server_sees_the_request_as_it_was_prepared() -> None:
    with serving(always(respond(SUCCESS, "X-Request-Id: abc"))) as server, client_for(f"{server.url}/base/") as client:
        exchange = ask(client)

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/api/v1/customers/bulk HTTP/1.1"
    assert {
        "Authorization: Basic " + base64.b64encode(f"{KEY}:".encode()).decode(),
        "Content-Type: application/json",
        "Accept: application/json",
        "Accept-Encoding: identity",
        f"User-Agent: blueshift_sync/{__version__}",
    } <= set(lines)
    assert body == REQUEST.body
    assert (exchange.status, exchange.body, exchange.failure, exchange.error) == (200, SUCCESS, None, "")
    assert exchange.headers["x-request-id"] == "abc"


def test_a_query_is_encoded_and_a_read_has_no_body() -> None:
    with serving(always(respond(b"{}"))) as server, client_for(server.url) as client:
        ask(client, find_customer("a+b c@example.com"))
        ask(client, list_add(7, "email", ["a@example.com"]))

    find, add = server.requests
    assert find.startswith(b"GET /api/v1/customers?email=a%2Bb+c%40example.com HTTP/1.1\r\n")
    assert b"content-type" not in find.lower()
    assert find.endswith(b"\r\n\r\n")
    assert add.startswith(b"PUT /api/v1/custom_user_lists/bulk_add_users_to_list/7?async=true HTTP/1.1\r\n")


def test_what_can_be_shown_holds_neither_key_nor_personal_data() -> None:
    client = BlueshiftClient(KEY, "https://api.getblueshift.com")
    call = client.prepare(find_customer("jane@example.com"))

    encoded = base64.b64encode(f"{KEY}:".encode()).decode()
    shown = f"{client!r} {call!r} {call.audit_headers}"
    assert not any(secret in shown for secret in (KEY, encoded, "jane"))
    assert call.audit_headers["Authorization"] == "Basic ***"
    assert call.headers["Authorization"] == f"Basic {encoded}"


def test_cookies_are_masked_and_headers_are_printable() -> None:
    exchange = ask_once(always(respond(SUCCESS, "Set-Cookie: session=1", "X-Odd: a\x00b")))

    assert exchange.headers["set-cookie"] == "***"
    assert exchange.headers["x-odd"] == "a b"


def test_a_netrc_entry_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    with serving(always(respond(SUCCESS))) as server, client_for(server.url) as client:
        ask(client)

    assert base64.b64encode(f"{KEY}:".encode()) in server.requests[0]


def test_a_proxy_never_sees_the_key_of_an_unencrypted_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(respond(b"proxied"))) as proxy, serving(always(respond(SUCCESS))) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with client_for(server.url) as client:
            exchange = ask(client)

    assert exchange.body == SUCCESS
    assert proxy.connections == []


def test_a_proxy_of_an_encrypted_call_sees_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with client_for("https://blueshift.example") as client:
            exchange = ask(client)

    assert (exchange.failure, exchange.code) == (TransportFailure.NOT_SENT, "proxy_failed")
    assert proxy.requests[0].startswith(b"CONNECT blueshift.example:443 ")
    assert b"Basic" not in proxy.requests[0]


def test_a_redirect_is_not_followed_and_not_read_without_end() -> None:
    with serving(always(respond(SUCCESS))) as elsewhere:
        moved = respond(b"x" * (MAX_ANSWER_BYTES + 1), f"Location: {elsewhere.url}/", status=b"HTTP/1.1 302 Found\r\n")
        exchange = ask_once(always(moved))

    assert exchange.status == 302
    assert len(exchange.body) == MAX_ANSWER_BYTES
    assert elsewhere.connections == []
    assert read_answer(REQUEST, exchange).outcome is CallOutcome.UNEXPECTED


def test_a_redirect_to_nonsense_is_just_a_redirect() -> None:
    exchange = ask_once(always(respond(b"", "Location: http://[", status=b"HTTP/1.1 301 Moved\r\n")))

    assert (exchange.status, exchange.failure) == (301, None)


def test_one_thread_keeps_its_connection() -> None:
    with serving(always(respond(SUCCESS))) as server, client_for(server.url) as client:
        exchanges = [ask(client) for _ in range(3)]

    assert [exchange.status for exchange in exchanges] == [200, 200, 200]
    assert [len(connection.requests) for connection in server.connections] == [3]


def test_each_thread_has_a_connection_of_its_own() -> None:
    with serving(always(respond(SUCCESS))) as server, client_for(server.url) as client:
        threads = [threading.Thread(target=lambda: [ask(client), ask(client)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [len(connection.requests) for connection in server.connections] == [2, 2, 2]


def test_a_closed_client_opens_new_connections() -> None:
    with serving(always(respond(SUCCESS))) as server, client_for(server.url) as client:
        ask(client)
        client.close()
        exchange = ask(client)

    assert exchange.status == 200
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    "url", ["https://api.getblueshift.com", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"]
)
def test_safe_addresses_are_taken(url: str) -> None:
    assert BlueshiftClient(KEY, f"{url}/").prepare(REQUEST).url == f"{url}/api/v1/customers/bulk"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.getblueshift.com",
        "http://127.0.0.1.example.com",
        "https://user@api.getblueshift.com",
        "https://api.getblueshift.com?x=1",
        "https://api.getblueshift.com#x",
        "https://api..getblueshift.com",
        "https://api.getblueshift.com:port",
        "ftp://api.getblueshift.com",
        "api.getblueshift.com",
        "https://",
        "",
    ],
)
def test_addresses_where_the_key_is_not_safe_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        BlueshiftClient(KEY, url)

    assert KEY not in str(caught.value)


def test_an_empty_key_and_a_time_out_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="There is no API key"):
        BlueshiftClient("", "https://api.getblueshift.com")
    with pytest.raises(ValueError, match="above zero"):
        BlueshiftClient(KEY, "https://api.getblueshift.com", (5, 0))
