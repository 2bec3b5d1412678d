"""Sends requests over HTTP and reports what came of it. What the answer means is for `answers` to say."""

import base64
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlencode, urlsplit

import requests
from urllib3.exceptions import DecodeError, HTTPError

from blueshift_sync import __version__

from .connections import Session, at_once
from .endpoints import Request

#: Bytes of an answer that are read and kept; Blueshift's are a few kilobytes.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_MASKED: Final = "***"


class TransportFailure(StrEnum):
    """Why there is no whole answer, by the one thing that matters: can the request have arrived?"""

    #: No connection was made (name, refusal, time-out, TLS, proxy): nothing has reached Blueshift.
    NOT_SENT = "NOT_SENT"
    #: The request, or a part of it, was written: Blueshift may have acted on it.
    NO_ANSWER = "NO_ANSWER"


class HeldBack(Exception):  # noqa: N818 - a decision, not a fault
    """The sender's own decision, at the last moment, not to send. `code` is a machine's word, the text a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class HttpCall:
    """An HTTP request as it will be sent. `headers` hold the key: store and show `audit_headers` instead."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def audit_headers(self) -> dict[str, str]:
        """The headers with the credential masked."""
        return {**self.headers, "Authorization": f"Basic {_MASKED}"}

    def __repr__(self) -> str:
        return f"<HttpCall {self.method} {self.url.partition('?')[0]}>"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of an `HttpCall`.

    `status` is None when no status line came. Names of `headers` are in lower case. `body` is what was received of it,
    at most `MAX_ANSWER_BYTES`. `failure` says that no whole answer came, `error` why, in a sentence without secrets and
    personal data; `code` says it in a machine's word. With an `error` but no `failure` a whole answer came, of which
    `body` is only a part or nothing.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    duration_ms: int = 0
    failure: TransportFailure | None = None
    error: str = ""
    code: str = ""


class Secret(str):
    """A text that tracebacks with local variables, as debug pages and error trackers make them, show masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_MASKED)


class BlueshiftClient:
    """Sends calls to one Blueshift account. Safe to share between threads; each has its own connections.

    `api_key` is the User API key. `base_url` is https, or http to a loopback address. `timeout` is (connect, read) in
    seconds; read is the time for the *whole* answer, so a call ends within about the sum of the two (name resolution
    is the operating system's, and each address of a host is given the connect time). Raises ValueError for an empty
    key, an address that would send the key in clear or elsewhere, and time-outs that aren't above zero.

    Proxies and certificate bundles of the environment are honoured for https, where a proxy sees no more than the
    host's name. They aren't for http, where it would see the key. A .netrc file is never read.

    Connections stay open until `close`. Make the client in the process that uses it, not before a fork.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        timeout: tuple[float, float] = (5, 30),
        user_agent: str = f"blueshift_sync/{__version__}",
    ) -> None:
        api_key = Secret(api_key)  # from here on, no error shows it
        if not api_key:
            raise ValueError("There is no API key: set the User API key of the Blueshift account.")
        if min(timeout) <= 0:
            raise ValueError(f"Time-outs are above zero seconds, not {timeout}.")
        self._base_url = _checked_base_url(base_url)
        self._host = urlsplit(self._base_url).netloc
        self._timeout = timeout
        # The key is the user name and the password is empty, so the colon belongs to it.
        credential = Secret("Basic " + base64.b64encode(f"{api_key}:".encode()).decode("ascii"))
        self._headers = {
            "Authorization": credential,
            "Accept": "application/json",
            # Answers are small, and the audit keeps them as received.
            "Accept-Encoding": "identity",
            "User-Agent": user_agent,
        }
        self._local = threading.local()
        self._sessions: list[Session] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, request: Request) -> HttpCall:
        """Make the HTTP request for `request`. Raises what `Request.body` raises."""
        body = request.body
        query = f"?{urlencode(request.query)}" if request.query else ""
        content_type = {} if body is None else {"Content-Type": "application/json"}
        return HttpCall(request.method, f"{self._base_url}{request.path}{query}", self._headers | content_type, body)

    def send(self, call: HttpCall, before_leaving: Callable[[], None] = at_once) -> Exchange:
        """Send `call` once. Never raises for what the network does; lets other exceptions through.

        `before_leaving` is called when the connection stands and nothing has been written. It may wait for the right
        moment, and raises HeldBack if it won't come: then nothing is sent.
        """
        session = self._session()
        transport = session.transport
        transport.await_request(before_leaving)
        started = time.monotonic()
        status: int | None = None
        headers: dict[str, str] = {}
        body = bytearray()
        failure: TransportFailure | None = None
        code = error = ""
        try:
            with self._open(session, call) as response:
                status, headers = response.status_code, _readable_headers(response)
                # Not iter_content, which loses what came of a chunk before the connection broke.
                while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        code = "answer_too_long"
                        error = f"The answer is longer than {MAX_ANSWER_BYTES} bytes and was cut."
                        break
        except DecodeError:
            code, error = "unreadable_answer", "The answer is compressed and cannot be decompressed."
        except HeldBack as reason:
            failure, code, error = TransportFailure.NOT_SENT, reason.code, str(reason)
        except (OSError, HTTPError) as problem:  # the bases of all exceptions of requests, sockets and urllib3
            if transport.left_at is not None:
                failure = TransportFailure.NO_ANSWER
                code, error = self._why_no_answer(problem)
            else:
                failure = TransportFailure.NOT_SENT
                code, error = self._why_not_sent(problem)
        return Exchange(
            status=status,
            headers=headers,
            body=bytes(body[:MAX_ANSWER_BYTES]),
            duration_ms=round((time.monotonic() - (transport.left_at or started)) * 1000),
            failure=failure,
            error=error,
            code=code,
        )

    def close(self) -> None:
        """Close the connections of all threads. The client may be used again afterwards."""
        for session in tuple(self._sessions):
            session.close()

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session(trust_env=self._base_url.startswith("https:"))
            self._sessions.append(session)
        return session

    def _open(self, session: Session, call: HttpCall) -> requests.Response:
        # Prepared outside the session, which would let a .netrc entry replace our Authorization.
        prepared = requests.Request(call.method, call.url, headers=call.headers, data=call.body).prepare()
        surroundings = session.merge_environment_settings(call.url, {}, stream=True, verify=None, cert=None)
        return session.send(prepared, timeout=self._timeout, allow_redirects=False, **surroundings)

    def _why_not_sent(self, problem: Exception) -> tuple[str, str]:
        causes = tuple(_causes(problem))
        if isinstance(problem, requests.exceptions.ProxyError):
            return "proxy_failed", f"The proxy made no connection to {self._host}: check the proxy settings."
        for kind, code, reason in (
            (socket.gaierror, "name_not_resolved", "its name could not be resolved"),
            (TimeoutError, "connect_timeout", f"it did not answer within {self._timeout[0]:g} s"),
            (ssl.SSLError, "tls_failed", "TLS failed; check the address and the certificates"),
            (ConnectionRefusedError, "connection_refused", "it refused"),
        ):
            if any(isinstance(cause, kind) for cause in causes):
                return code, f"No connection to {self._host}: {reason}. Nothing was sent."
        return "connection_failed", f"No connection to {self._host} could be made. Nothing was sent."

    def _why_no_answer(self, problem: Exception) -> tuple[str, str]:
        if any(isinstance(cause, TimeoutError) for cause in _causes(problem)):
            return "timeout", (
                f"{self._host} gave no whole answer within {self._timeout[1]:g} s; the request may have arrived."
            )
        return "connection_lost", (
            f"The connection to {self._host} broke before the whole answer came; the request may have arrived."
        )


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """The exception and those behind it, down to the one of the standard library that says what happened."""
    cause: BaseException | None = problem
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _readable_headers(response: requests.Response) -> dict[str, str]:
    """Headers by lower-case name, cookies masked, without the control characters that databases refuse."""
    return {
        name.lower(): _MASKED if name.lower() == "set-cookie" else _printable(value)
        for name, value in response.headers.items()
    }


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _checked_base_url(base_url: str) -> str:
    """`base_url` without a final slash. Raises ValueError if the key wouldn't be safe there."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    host.encode("idna")  # a name that can't be looked up, and a port that is none, raise here rather than in a call
    _ = parts.port
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("The base URL must look like https://api.getblueshift.com.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("The base URL may hold no user name, no query and no fragment.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("The base URL must be https, for http would send the API key in clear.")
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
