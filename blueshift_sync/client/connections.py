"""One thread's connections to Blueshift, with two answers that `requests` alone doesn't give.

*How long can a call take?* A read time-out of `requests` limits each wait for a byte, so a server that trickles bytes
holds a thread for ever. Here it limits the wait for the whole answer, headers included.

*Can the request have arrived?* The exceptions don't tell: a TLS error may come from the handshake or from the middle of
the answer. Here a flag is set just before the first byte of the request is written.
"""

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter


class _PunctualReader(io.RawIOBase):
    """Reads from a socket, and raises TimeoutError as soon as the socket's time-out has passed since it was made."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        budget = sock.gettimeout()
        self._deadline = None if budget is None else time.monotonic() + budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(remaining)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PunctualResponse(http.client.HTTPResponse):
    """An answer that must be complete within the time-out that its socket has at the start."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_PunctualReader(self.fp.detach(), sock))


class _WatchedConnection(http.client.HTTPConnection):
    """Tells its transport when the request begins to leave. Mixed into the connections of any kind of pool."""

    transport: ClassVar["Transport"]
    response_class = _PunctualResponse

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:  # it would be made by the first write, too late to tell the two apart
            self.connect()
        self.transport.before_leaving()
        self.transport.left_at = time.monotonic()
        super().endheaders(*args, **kwargs)


def at_once() -> None:
    """A request may leave as soon as it can."""


class Transport(HTTPAdapter):
    """A connection pool for one thread, which never repeats a request by itself."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self.await_request(at_once)

    def await_request(self, before_leaving: Callable[[], None]) -> None:
        """To be said before each request. `before_leaving` is called when only the request itself is still to do."""
        self.before_leaving = before_leaving
        #: By the monotonic clock, when the request began to leave; until then nothing has reached Blueshift.
        self.left_at: float | None = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _WatchedConnection):
            bases = (_WatchedConnection, pool.ConnectionCls)
            pool.ConnectionCls = type("Connection", bases, {"transport": self})
        return pool


class Session(requests.Session):
    """A session that neither follows redirects nor reads where they lead, for the key must not travel."""

    def __init__(self, *, trust_env: bool) -> None:
        super().__init__()
        self.trust_env = trust_env
        self.transport = Transport()
        self.mount("https://", self.transport)
        self.mount("http://", self.transport)

    def get_redirect_target(self, resp: requests.Response) -> None:
        # Even with `allow_redirects=False` a session would read the whole body and prepare the next request.
        return None
