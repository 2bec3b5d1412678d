"""What all endpoints have in common, and no site's REST framework settings change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from django.db import connections, transaction
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.request import Request
from rest_framework.schemas import DefaultSchema
from rest_framework.views import APIView

from . import problems
from .parsing import StrictJSONParser
from .permissions import HasPermissions
from .rendering import AsciiJSONRenderer, FirstRenderer
from .throttling import SyncThrottle

#: The schema is an extra.
SCHEMA_IS_INSTALLED = find_spec("drf_spectacular") is not None


def _how_it_describes_itself() -> Any:
    if not SCHEMA_IS_INSTALLED:
        return DefaultSchema()
    from .openapi import SyncSchema  # noqa: PLC0415

    return SyncSchema()


def _not_atomic(view: Callable[..., Any]) -> Callable[..., Any]:
    """As Django's decorator, for each database: who knows in which one the tables are."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


# Each slice of the work commits by itself, so that no lock is held for a second.
@method_decorator(_not_atomic, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class Endpoint(APIView):
    """Whatever the site's REST framework settings are, these stay as they are. Only how users log in is its affair."""

    renderer_classes = [AsciiJSONRenderer]
    parser_classes = [StrictJSONParser]
    content_negotiation_class = FirstRenderer
    permission_classes = [HasPermissions]
    throttle_classes = [SyncThrottle]
    versioning_class = None
    metadata_class = None

    schema = _how_it_describes_itself()

    # The parameters that a request may have in its query, for what isn't a list.
    own_parameters: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        request.get_host()  # answers name it: what comes under a foreign one is refused before anything is done
        super().initial(request, *args, **kwargs)

    @abstractmethod
    def permissions_needed(self) -> tuple[str, ...]:
        """The full names of the permissions that this request needs."""

    def get_exception_handler(self) -> Callable[..., Any]:
        return problems.answer


def address_of(request: Request, name: str, **numbers: int) -> str:
    """The absolute address of one of the endpoints, where the site has included the one that is asked now."""
    match = request.resolver_match
    if match is None:
        raise LookupError("Only a request that came to an endpoint has an address.")
    of_the_site = {key: value for key, value in match.kwargs.items() if key not in {"pk", "rest"}}
    return request.build_absolute_uri(reverse(f"{match.namespace}:{name}", kwargs={**of_the_site, **numbers}))
