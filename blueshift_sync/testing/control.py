"""The control calls under /_simulator/: for tests, without a key, from this machine only."""

import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .account import CustomerList
from .answers import Answer
from .answers import answer as json_answer
from .scenario import check_list
from .values import ScenarioError
from .wire import Scope

if TYPE_CHECKING:
    from blueshift_sync.testing.app import Application

PREFIX = "/_simulator/"
DONE = json_answer(200, {"status": "ok"})


def answer(app: "Application", scope: Scope, body: bytes) -> Answer:
    """The answer to a control call; a wrong one gets a 4xx with a sentence under `error`."""
    if not _from_this_machine(scope):
        return json_answer(403, {"error": "The control calls are for this machine only."})
    name = scope["path"].removeprefix(PREFIX)
    try:
        if name.startswith("lists/"):
            return _list(app, scope["method"], name.removeprefix("lists/"), body)
        if handler := HANDLERS.get((scope["method"], name)):
            return handler(app, scope, body)
    except ScenarioError as error:
        return json_answer(400, {"error": str(error)})
    known = ", ".join(f"{method} {PREFIX}{path}" for method, path in HANDLERS)
    lists = f"GET, PUT or DELETE {PREFIX}lists/ID"
    return json_answer(404, {"error": f"No such control call. There are: {known}, {lists}."})


def _from_this_machine(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and ip_address(client[0]).is_loopback


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ScenarioError(f"The body isn't valid JSON: {error}.") from error


def _state(app: "Application", _scope: Scope, _body: bytes) -> Answer:
    account = app.account
    return json_answer(
        200,
        {
            "customers": list(account.customers.values()),
            "lists": {str(key): _list_state(app, found) for key, found in account.lists.items()},
            "unknown_identifiers": list(account.unknown_identifiers),
            "calls": app.log.total,
            "calls_in_any_second": app.received.peak,
        },
    )


def _list_state(app: "Application", customer_list: CustomerList) -> dict[str, Any]:
    return {
        "name": customer_list.name,
        "source": customer_list.source,
        "status": customer_list.status,
        "members": app.account.members(customer_list),
    }


def _requests(app: "Application", scope: Scope, _body: bytes) -> Answer:
    since = parse_qs(scope["query_string"].decode("latin-1")).get("since", ["0"])[0]
    if not (since.isascii() and since.isdecimal()):
        raise ScenarioError('"since" must be the id of a request.')
    return json_answer(200, {"requests": app.log.since(int(since))})


def _get_scenario(app: "Application", _scope: Scope, _body: bytes) -> Answer:
    return json_answer(200, app.scenario.public())


def _change_scenario(app: "Application", _scope: Scope, body: bytes) -> Answer:
    app.change(_json(body))
    return DONE


def _add_fault(app: "Application", _scope: Scope, body: bytes) -> Answer:
    app.faults.add(_json(body))
    return DONE


def _reset(app: "Application", _scope: Scope, _body: bytes) -> Answer:
    app.reset()
    return DONE


Handler = Callable[["Application", Scope, bytes], Answer]
HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "state"): _state,
    ("GET", "requests"): _requests,
    ("GET", "scenario"): _get_scenario,
    ("POST", "scenario"): _change_scenario,
    ("POST", "faults"): _add_fault,
    ("POST", "reset"): _reset,
}


def _list(app: "Application", method: str, list_id: str, body: bytes) -> Answer:
    if not (list_id.isascii() and list_id.isdecimal()):
        raise ScenarioError(f'The list id must be a whole number, not "{list_id}".')
    key = int(list_id)
    if method == "PUT":
        spec = _json(body)
        check_list(spec, f"list {key}")
        return json_answer(200, _list_state(app, app.account.put_list(key, **spec)))
    found = app.account.lists.get(key)
    if found is None:
        return json_answer(404, {"error": f"There is no list {key}."})
    if method == "DELETE":
        del app.account.lists[key]
    return json_answer(200, _list_state(app, found))
