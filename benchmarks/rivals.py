"""The sides that we are compared with, each used as its own documentation shows. Run without Django."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from . import people

BATCH = 50
RATE = 5
UNLIMITED = 10**6


def plain_loop(url: str, count: int) -> Callable[[], int]:
    """One `requests` session that posts batch after batch and keeps nothing but the number of those accepted."""
    import requests  # noqa: PLC0415

    batches = [
        {"customers": [people.payload(number) for number in range(start, start + BATCH)]}
        for start in range(0, count, BATCH)
    ]

    def measured() -> int:
        accepted = 0
        with requests.Session() as session:
            session.auth = ("simulator-key", "")
            for batch in batches:
                answer = session.post(f"{url}/api/v1/customers/bulk", json=batch, timeout=30)
                answer.raise_for_status()
                accepted += BATCH - len(answer.json()["errors"])
        return accepted

    return measured


def plain_list_loop(url: str, list_id: int, count: int, size: int) -> Callable[[], int]:
    """As `plain_loop`, for a list's members; more than 25 in a call are sent asynchronously."""
    import requests  # noqa: PLC0415

    address = f"{url}/api/v1/custom_user_lists/bulk_add_users_to_list/{list_id}"
    batches = [
        {
            "identifier_key": "email",
            "identifier_values": [people.email(number) for number in range(start, start + size)],
        }
        for start in range(0, count, size)
    ]

    def measured() -> int:
        accepted = 0
        with requests.Session() as session:
            session.auth = ("simulator-key", "")
            for batch in batches:
                answer = session.put(address, json=batch, params={"async": "true"} if size > 25 else {}, timeout=30)
                answer.raise_for_status()
                accepted += size - len(answer.json()["errors"])
        return accepted

    return measured


def segment(url: str, count: int) -> Callable[[], int]:
    """Segment's library as it comes, but for a queue that is long enough: it drops what doesn't fit."""
    from segment.analytics.client import Client  # noqa: PLC0415

    customers = [people.payload(number) for number in range(count)]
    failed: list[Any] = []

    def measured() -> int:
        client = Client(
            "simulator-key", host=url, max_queue_size=count, on_error=lambda _error, batch: failed.extend(batch)
        )
        for customer in customers:
            client.identify(customer["customer_id"], customer)
        client.flush()
        client.join()
        return count - len(failed)

    return measured


Acquire = Callable[[], None]


def grants_for(limiter: str, seconds: float) -> Callable[[], dict[str, object]]:
    """The moments of the calls that a limiter allows one process, and how often Redis was asked."""
    from .counting import count_round_trips  # noqa: PLC0415

    acquire = ACQUIRERS[limiter](RATE)
    round_trips = count_round_trips()

    def measured() -> dict[str, object]:
        moments: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            acquire()
            moments.append(time.monotonic())
        return {"moments": moments, "round_trips": round_trips()}

    return measured


def grants(limiter: str, count: int) -> Callable[[], None]:
    """So many grants as fast as they come."""
    acquire = ACQUIRERS[limiter](UNLIMITED)

    def measured() -> None:
        for _ in range(count):
            acquire()

    return measured


def _limits(rate: int) -> Acquire:
    from limits import RateLimitItemPerSecond  # noqa: PLC0415
    from limits.storage import RedisStorage  # noqa: PLC0415
    from limits.strategies import MovingWindowRateLimiter  # noqa: PLC0415

    storage = RedisStorage(os.environ["BENCH_REDIS_URL"])
    storage.check()  # connects
    limiter = MovingWindowRateLimiter(storage)
    item = RateLimitItemPerSecond(rate)

    def acquire() -> None:
        while not limiter.hit(item, "account"):
            time.sleep(max(0.0, limiter.get_window_stats(item, "account").reset_time - time.time()))

    return acquire


def _pyrate(rate: int) -> Acquire:
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket  # noqa: PLC0415
    from redis import Redis  # noqa: PLC0415

    bucket = RedisBucket.init([Rate(rate, Duration.SECOND)], Redis.from_url(os.environ["BENCH_REDIS_URL"]), "account")
    limiter = Limiter(bucket)
    return lambda: _demand(limiter.try_acquire("account"))


def _demand(granted: object) -> None:
    if granted is not True:
        raise RuntimeError("The limiter refused, though it was asked to wait.")


ACQUIRERS: dict[str, Callable[[int], Acquire]] = {"limits": _limits, "pyrate": _pyrate}


def flood(address: list[Any], count: int, connections: int) -> Callable[[], int]:
    """Sends one prepared batch again and again on several connections: what the simulator can answer at most."""
    import json  # noqa: PLC0415
    import socket  # noqa: PLC0415
    from base64 import b64encode  # noqa: PLC0415

    body = json.dumps({"customers": [people.payload(number) for number in range(BATCH)]}).encode()
    head = (
        f"POST /api/v1/customers/bulk HTTP/1.1\r\nHost: simulator\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {b64encode(b'simulator-key:').decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sockets = [socket.create_connection(tuple(address)) for _ in range(connections)]

    def measured() -> int:
        for _ in range(count // connections):
            for each in sockets:
                each.sendall(head.encode() + body)
            for each in sockets:
                answer = b""
                while not answer.endswith(b'"errors":[]}'):
                    answer += each.recv(65536)
        return count // connections * connections

    return measured
