"""Whatever a network does to a call, it ends in time, and it is known whether it can have arrived."""

import gzip
import signal
import socket
import time
from collections.abc import Callable

import pytest

from blueshift_sync.client import (
    MAX_ANSWER_BYTES,
    BlueshiftClient,
    CallOutcome,
    Request,
    TransportFailure,
    list_add,
    read_answer,
    read_list,
)
from tests.client.server import (
    KEY,
    OK,
    REQUEST,
    SUCCESS,
    Connection,
    always,
    ask,
    ask_once,
    client_for,
    respond,
    serving,
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_refused_connection_sends_nothing() -> None:
    with client_for(f"http://127.0.0.1:{free_port()}") as client:
        exchange = ask(client)

    assert (exchange.status, exchange.failure) == (None, TransportFailure.NOT_SENT)
    assert exchange.code == "connection_refused"
    assert exchange.error.endswith("it refused. Nothing was sent.")


def test_a_name_that_cannot_be_resolved_sends_nothing() -> None:
    with client_for("https://nowhere.invalid") as client:
        exchange = ask(client)

    assert exchange.failure is TransportFailure.NOT_SENT
    assert exchange.code == "name_not_resolved"


def test_a_connection_that_takes_too_long_sends_nothing() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)),  # fills the queue, so that the next one waits
            client_for(f"http://127.0.0.1:{port}", (0.2, 5)) as client,
        ):
            exchange = ask(client)

    assert (exchange.failure, exchange.code) == (TransportFailure.NOT_SENT, "connect_timeout")


def hang_up_at_once(connection: Connection) -> None:
    connection.sock.recv(65536)


def answer_in_clear(connection: Connection) -> None:
    connection.sock.recv(65536)
    connection.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("behave", [hang_up_at_once, answer_in_clear])
def test_a_failed_handshake_sends_nothing(behave: Callable[[Connection], None]) -> None:
    with serving(behave) as server, client_for(server.url.replace("http:", "https:")) as client:
        exchange = ask(client)

    assert exchange.failure is TransportFailure.NOT_SENT
    assert server.requests == []


def never_answer(connection: Connection) -> None:
    connection.read_request()
    connection.over.wait(10)


def reset(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def hang_up(connection: Connection) -> None:
    connection.read_request()


def cut_off(connection: Connection) -> None:
    connection.read_request()
    connection.sock.sendall(OK + b"Content-Length: 100\r\n\r\n" + SUCCESS)


def cut_off_in_chunks(connection: Connection) -> None:
    connection.read_request()
    connection.sock.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n1c\r\n" + SUCCESS + b"\r\n")


def nonsense_in_chunks(connection: Connection) -> None:
    connection.read_request()
    connection.sock.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n")


def answer_with_noise(connection: Connection) -> None:
    connection.read_request()
    connection.sock.sendall(b"\x00\x01 no HTTP at all\r\n\r\n")


def trickle(start: bytes, drop: bytes) -> Callable[[Connection], None]:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(start)
        while not connection.over.wait(0.02):
            connection.sock.sendall(drop)

    return behave


trickling_body = trickle(OK + b"Content-Length: 1000000\r\n\r\n", b" ")
trickling_headers = trickle(OK, b"X-Slow: 1\r\n")
trickling_status = trickle(b"HTTP/1.1 ", b"2")
trickling_interim = trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (never_answer, "timeout"),
        (trickling_body, "timeout"),
        (trickling_headers, "timeout"),
        (trickling_status, "timeout"),
        (trickling_interim, "timeout"),
        (reset, "connection_lost"),
        (hang_up, "connection_lost"),
        (cut_off, "connection_lost"),
        (cut_off_in_chunks, "connection_lost"),
        (nonsense_in_chunks, "connection_lost"),
        (answer_with_noise, "connection_lost"),
    ],
)
def test_whatever_fails_after_sending_may_have_arrived(behave: Callable[[Connection], None], code: str) -> None:
    started = time.monotonic()

    exchange = ask_once(behave, (5, 0.3))

    assert (exchange.failure, exchange.code) == (TransportFailure.NO_ANSWER, code)
    assert exchange.error.endswith("the request may have arrived.")
    assert time.monotonic() - started < 3
    assert read_answer(REQUEST, exchange).outcome is CallOutcome.NO_ANSWER


@pytest.mark.parametrize("behave", [cut_off, cut_off_in_chunks])
def test_the_received_part_of_a_cut_answer_is_kept(behave: Callable[[Connection], None]) -> None:
    exchange = ask_once(behave)

    assert (exchange.status, exchange.body) == (200, SUCCESS)


@pytest.mark.parametrize("length", [f"Content-Length: {10**12}", "Transfer-Encoding: chunked"])
def test_an_endless_answer_is_cut(length: str) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(OK + length.encode() + b"\r\n\r\n")
        while True:
            connection.sock.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    exchange = ask_once(behave)

    assert len(exchange.body) == MAX_ANSWER_BYTES
    assert (exchange.status, exchange.failure, exchange.code) == (200, None, "answer_too_long")
    assert read_answer(REQUEST, exchange).outcome is CallOutcome.UNREADABLE


def test_a_whole_answer_of_the_greatest_length_is_not_cut() -> None:
    exchange = ask_once(always(respond(SUCCESS.ljust(MAX_ANSWER_BYTES))))

    assert exchange.error == ""
    assert read_answer(REQUEST, exchange).outcome is CallOutcome.ANSWERED


def test_an_answer_in_chunks_is_put_together_and_its_connection_kept() -> None:
    chunked = OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"cus\r\n17\r\n' + SUCCESS[5:] + b"\r\n0\r\n\r\n"

    with serving(always(chunked)) as server, client_for(server.url) as client:
        exchanges = [ask(client), ask(client)]

    assert [exchange.body for exchange in exchanges] == [SUCCESS, SUCCESS]
    assert len(server.connections) == 1


def test_a_compressed_answer_is_decompressed_within_the_same_bound() -> None:
    compressed = gzip.compress(b"x" * (MAX_ANSWER_BYTES * 10))

    exchange = ask_once(always(respond(compressed, "Content-Encoding: gzip")))

    assert (len(exchange.body), exchange.code) == (MAX_ANSWER_BYTES, "answer_too_long")


def test_an_answer_that_cannot_be_decompressed_is_unreadable() -> None:
    exchange = ask_once(always(respond(SUCCESS, "Content-Encoding: gzip")))

    assert (exchange.status, exchange.failure, exchange.code) == (200, None, "unreadable_answer")
    assert read_answer(REQUEST, exchange).outcome is CallOutcome.UNREADABLE


@pytest.mark.parametrize("request_", [REQUEST, list_add(1, "email", ["a@example.com"]), read_list(1)])
def test_no_request_is_repeated(request_: Request) -> None:
    with serving(reset) as server, client_for(server.url) as client:
        ask(client, request_)

    assert len(server.connections) == 1


def test_a_connection_that_breaks_at_its_second_request_may_have_carried_it() -> None:
    def answer_once(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(respond(SUCCESS))
        connection.read_request()

    with serving(answer_once) as server, client_for(server.url) as client:
        first, second = ask(client), ask(client)

    assert (first.status, second.status) == (200, None)
    assert (second.failure, second.code) == (TransportFailure.NO_ANSWER, "connection_lost")


def test_a_refusal_after_an_answered_call_is_still_known_to_have_sent_nothing() -> None:
    def answer_and_leave(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(respond(SUCCESS, "Connection: close"))

    with serving(answer_and_leave) as server:
        client = BlueshiftClient(KEY, server.url)
        first = ask(client)
    second = ask(client)
    client.close()

    assert (first.status, second.failure) == (200, TransportFailure.NOT_SENT)


class JobTimeoutError(Exception):
    """As job queues raise it, out of a signal handler."""


def test_a_job_timeout_raised_by_a_signal_is_let_through() -> None:
    def raise_timeout(*_: object) -> None:
        raise JobTimeoutError

    previous = signal.signal(signal.SIGALRM, raise_timeout)
    try:
        with serving(never_answer) as server, client_for(server.url, (5, 8)) as client:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(JobTimeoutError):
                ask(client)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
