"""The simulator as an ASGI application: the door, the faults and the books around the endpoints."""

import asyncio
import dataclasses
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from . import answers, control, wire
from .account import Account
from .answers import Answer, documented
from .endpoints import Call, Endpoints, route
from .faults import NOTHING, Faults, Rule, Strike
from .scenario import Scenario
from .traffic import RequestLog, RollingSecond
from .wire import Receive, Scope, Send


class Application:
    """One simulated account.

    A call has arrived when its whole body was read. It is routed (404), authorised (401) and counted
    against `calls_per_second` (429), in this order. Calls refused with 429 count too, so who keeps hammering
    stays out. Then the fault rules are asked, then the endpoint.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._initial = scenario
        self._started_at = time.monotonic()
        self.reset()

    def reset(self) -> None:
        """Forgets everything and goes back to the scenario of the start; what is under way ends in the old state."""
        scenario = self._initial
        self.account = Account(scenario)
        self.faults = Faults(scenario.faults, scenario.seed)
        self.log = RequestLog(scenario.log_size)
        self.received = RollingSecond()
        self._counted = RollingSecond()
        self._use(scenario)

    def change(self, changes: Any) -> None:
        """Merges settings into the scenario. Rules keep their counts unless `faults` or `seed` is given."""
        scenario = self.scenario.changed(changes)
        if {"faults", "seed"} & changes.keys():
            self.faults = Faults(scenario.faults, scenario.seed)
        if "log_size" in changes:
            self.log.resize(scenario.log_size)
        self.account.use(scenario)
        self._use(scenario)

    def _use(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._endpoints = Endpoints(self.account, scenario, self._defer)
        self._credentials = {b64encode(f"{key}:".encode()) for key in scenario.api_keys}
        retry_after = {} if scenario.retry_after is None else {"retry-after": str(scenario.retry_after)}
        self._rate_exceeded = documented(429, retry_after)

    def _defer(self, effect: Callable[[], object]) -> None:
        if self.scenario.async_delay:
            asyncio.get_running_loop().call_later(self.scenario.async_delay, effect)
        else:
            effect()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await wire.read_body(receive)
        if body is None:
            return
        arrived_at = time.monotonic()
        if scope["path"].startswith(control.PREFIX):
            answer = control.answer(self, scope, body)
            await wire.send_answer(send, answer, _common_headers(str(uuid4()), arrived_at))
        else:
            await self._api_call(scope, receive, send, body, arrived_at)

    async def _api_call(self, scope: Scope, receive: Receive, send: Send, body: bytes, arrived_at: float) -> None:
        request_id = str(uuid4())
        self.received.count(arrived_at)
        entry = self._log(scope, body, arrived_at, request_id)
        answer, fault = await self._outcome(scope, body, arrived_at)
        if entry is not None:
            entry["status"] = None if fault in ("reset", "reset_after") else answer.status
            entry["fault"] = fault
            entry["answered_at"] = self._since_start(time.monotonic())
        common = _common_headers(request_id, arrived_at)
        if fault in ("reset", "reset_after"):
            await wire.reset_connection(scope, receive)
        elif fault == "cut":
            await wire.send_half(scope, receive, send, answer, common)
        else:
            await wire.send_answer(send, answer, common)

    def _log(self, scope: Scope, body: bytes, arrived_at: float, request_id: str) -> dict[str, Any] | None:
        if not self.scenario.keep:
            self.log.total += 1
            return None
        return self.log.add(
            arrived_at=self._since_start(arrived_at),
            answered_at=None,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            body=body.decode("utf-8", "replace") if self.scenario.log_bodies else None,
            status=None,
            fault=None,
            request_id=request_id,
        )

    def _since_start(self, moment: float) -> float:
        return moment - self._started_at

    async def _outcome(self, scope: Scope, body: bytes, arrived_at: float) -> tuple[Answer, str | None]:
        """The answer, and the fault that bends it on its way out."""
        target = route(scope["method"], scope["path"])
        if target is None:
            return documented(404), None
        headers = dict(scope["headers"])
        if not self._authorised(headers.get(b"authorization", b"")):
            return documented(401), None
        limit = self.scenario.calls_per_second
        if limit is not None and self._counted.count(arrived_at) > limit:
            return self._rate_exceeded, None
        call = Call(
            endpoint=target[0],
            id=target[1],
            method=scope["method"],
            path=scope["path"],
            query_string=scope["query_string"].decode("latin-1"),
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            raw_body=body,
        )
        strike = self.faults.strike(call.endpoint, call.method, call.path)
        if strike is NOTHING:
            return self._endpoints.answer(call), None
        return await _struck(self._endpoints, call, strike)

    def _authorised(self, header: bytes) -> bool:
        scheme, _, credential = header.partition(b" ")
        return scheme.lower() == b"basic" and credential.strip() in self._credentials


async def _struck(endpoints: Endpoints, call: Call, strike: Strike) -> tuple[Answer, str | None]:
    """The outcome of a call that a rule strikes: it waits, then takes effect; others overtake it.

    The endpoints are those of its arrival, so a late call can't touch what was set up after a reset.
    """
    if strike.delay:
        await asyncio.sleep(strike.delay)
    rule = strike.rule
    if rule is None:
        return endpoints.answer(call), "latency"
    if rule.fault == "reject":
        call.record_fault = rule.record_error
    # A call that takes no effect has the answer of success to be cut.
    answer = endpoints.answer(call) if rule.apply else answers.LIST_OK
    return _bent(answer, rule), rule.fault


def _bent(answer: Answer, rule: Rule) -> Answer:
    if rule.fault == "status":
        return (
            answers.answer(rule.status, rule.body, rule.headers)
            if rule.has_body
            else documented(rule.status, rule.headers)
        )
    if rule.fault == "html":
        return answers.html_page(rule.status)
    if rule.fault == "empty":
        return Answer(rule.status, b"")
    if rule.fault == "cut_json":
        return dataclasses.replace(answer, body=wire.half(answer.body))
    return answer


def _common_headers(request_id: str, arrived_at: float) -> list[tuple[bytes, bytes]]:
    runtime = f"{time.monotonic() - arrived_at:.6f}"
    return [(b"x-request-id", request_id.encode()), (b"x-runtime", runtime.encode())]
