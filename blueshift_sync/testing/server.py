"""The simulator on a socket: uvicorn, with what ASGI leaves out."""

import asyncio
import os
import signal
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import Application
from .wire import TRANSPORT

BACKLOG = 2048
PARENT_CHECK_SECONDS = 0.5


class Protocol(HttpToolsProtocol):
    """Hands the transport to the application, which resets and cuts connections."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class Server(uvicorn.Server):
    """Says when it is ready, and ends when its parent is gone."""

    def __init__(self, config: uvicorn.Config, ready: str, parent_pid: int | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._parent_pid = parent_pid

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._parent_pid is not None:
            self._watch = asyncio.create_task(self._end_with(self._parent_pid))
        print(self._ready, flush=True)  # noqa: T201

    async def _end_with(self, parent_pid: int) -> None:
        while os.getppid() == parent_pid:
            await asyncio.sleep(PARENT_CHECK_SECONDS)
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket that nobody else has. Raises OSError if the address can't be had."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    # The protocol is named because asyncio sets TCP_NODELAY only then: 40 ms a call without it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def serve(app: Application, listener: socket.socket, parent_pid: int | None) -> None:
    """Serves until SIGTERM or SIGINT, or until the parent is gone; calls in flight are dropped then."""
    # uvicorn raises the signal again once it has ended, for the handlers that it found.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=0,
    )
    ready = f"Blueshift simulator listening on http://{shown}:{port}"
    Server(config, ready, parent_pid).run([listener])
