"""Segment's /v1/batch on the simulator's server: `python -m benchmarks.segment_endpoint PARENT_PID`.

It reads the JSON and counts the records, no more: less work than the simulator does with ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any, cast

from blueshift_sync.testing.answers import answer
from blueshift_sync.testing.app import Application
from blueshift_sync.testing.server import bind, serve
from blueshift_sync.testing.wire import Receive, Scope, Send, read_body, send_answer


class Endpoint:
    """Takes every batch. A GET says how many records have come since the last one."""

    def __init__(self) -> None:
        self.records = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if scope["method"] == "GET":
            value, self.records = {"records": self.records}, 0
        else:
            batch: list[Any] = json.loads(body or b"{}")["batch"]
            self.records += len(batch)
            value = {"success": True}
        await send_answer(send, answer(200, value), ())


if __name__ == "__main__":
    serve(cast("Application", Endpoint()), bind("127.0.0.1", 0), int(sys.argv[1]))
