"""Actions as Django's admin has them: since 6.1 objects, for a list or for an object's page; before that, tuples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest


def label_of(action: Any) -> str:
    return str(action[2] if isinstance(action, tuple) else action.description)


def is_for_a_list(action_location: Any) -> bool:
    """`action_location` is what Django passes to `get_actions` since 6.1, or None."""
    return action_location is None or action_location.name == "CHANGE_LIST"


def inherited_actions(get_actions: Callable[..., Any], request: HttpRequest, action_location: Any) -> Any:
    """What the next class's `get_actions` says, though it may have been written before there was a location."""
    if action_location is None:
        return get_actions(request)
    if "action_location" in inspect.signature(get_actions).parameters:
        return get_actions(request, action_location=action_location)
    return get_actions(request) if is_for_a_list(action_location) else {}
