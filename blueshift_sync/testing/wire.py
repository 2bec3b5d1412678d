"""How answers leave: whole, cut off, or not at all."""

import os
import socket
import struct
from asyncio import Transport
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .answers import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The key under which the server puts the connection's transport, which ASGI doesn't offer.
TRANSPORT = "blueshift.transport"

_NO_LINGER = struct.pack("ii", 1, 0)


async def read_body(receive: Receive) -> bytes | None:
    """The whole body, or None if the client went away before its end."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def send_answer(send: Send, answer: Answer, common: Iterable[tuple[bytes, bytes]]) -> None:
    await send(_start(answer, common))
    await send({"type": "http.response.body", "body": answer.body})


async def send_half(
    scope: Scope, receive: Receive, send: Send, answer: Answer, common: Iterable[tuple[bytes, bytes]]
) -> None:
    """Promises the whole body, sends half of it and closes the connection."""
    await send(_start(answer, common))
    await send({"type": "http.response.body", "body": half(answer.body), "more_body": True})
    _transport(scope).close()
    await _wait_for_end(receive)


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """Ends the connection with a TCP reset."""
    transport = _transport(scope)
    # A copy of the descriptor, as the socket objects of some event loops allow no options.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    await _wait_for_end(receive)


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _start(answer: Answer, common: Iterable[tuple[bytes, bytes]]) -> Message:
    length = str(len(answer.body)).encode()
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", length),
        *common,
        *answer.headers,
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


def _transport(scope: Scope) -> Transport:
    transport: Transport = scope["extensions"][TRANSPORT]
    return transport


async def _wait_for_end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
