"""The OpenAPI 3.1 document of these endpoints. Needs the extra `schema`.

It says of each parameter and body exactly what is taken, so that what fits it is never refused as malformed.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from threading import Lock
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import translation
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse

from .. import __version__
from ..delivery.status_totals import THRESHOLDS
from ..models import CustomerList
from . import examples, filters, requests
from .problems import CONTENT_TYPE, ProblemSerializer
from .rehearsals import RehearsalSerializer
from .serializers import CallDetailSerializer, ListSerializer, RunSerializer
from .status_shape import BeyondThresholdSerializer, StatusSerializer

JSON_TYPES: dict[type[str | int | bool], str] = {str: "string", int: "integer", bool: "boolean"}
ID = {"type": "integer", "minimum": 1, "maximum": requests.LARGEST_ID}
TEXT = {"type": "string", "minLength": 1, "pattern": filters.TEXT_PATTERN}

ERRORS = {
    400: "Something of the request isn't understood; `errors` names it.",
    401: "The request needs a login.",
    403: "The user lacks a permission, which the sentence names; or the request needs a login.",
    404: "There is no such row or page, or a body names a row that doesn't exist.",
    409: "It can't be done as things stand, or the idempotency key was used for another request.",
    413: "The body is too long.",
    415: "The body isn't JSON.",
    429: "The user made more requests than the site allows.",
    500: "Something went wrong on the server.",
    501: "The endpoint needs a package that the site doesn't have.",
    503: "The database can't be used at the moment.",
}
READING = (400, 401, 403, 404, 429, 500, 503)
ACTING = (400, 401, 403, 404, 409, 413, 415, 429, 500, 503)
#: The headers of an answer that tell something.
HEADERS: dict[int, tuple[str, str, str, bool]] = {
    201: ("Location", "uri", "The address of the list.", True),
    202: ("Location", "uri", "The address of the run.", True),
    401: ("WWW-Authenticate", "", "How to log in.", True),
    429: ("Retry-After", "", "After so many seconds the next request is taken.", False),
}

#: What each operation does: a summary, and more where that needs saying.
OPERATIONS: dict[str, tuple[str, str]] = {
    "customers_list": ("List customers", "The mirror of the site's customers."),
    "customers_retrieve": ("Read a customer", "One customer of the mirror, and whether it is in step."),
    "customers_push_many": (
        "Send customers now",
        "Sends these customers, changed or not, by ids or by the parameters of their list; excluded ones are left out.",
    ),
    "customers_push": ("Send a customer now", "Sends this customer, changed or not."),
    "lists_list": ("List customer lists", "The customer lists that are known here."),
    "lists_retrieve": ("Read a customer list", "One customer list."),
    "lists_create": (
        "Create a list, or take one on",
        "A worker creates a list in Blueshift by its name; one that is there is taken on by its number.",
    ),
    "lists_try_again": (
        "Try a list again that has stopped",
        "A worker reads it, or creates it; its members follow when that went well. One that goes on stays as it is.",
    ),
    "lists_add": ("Add customers to a list", "Says that these customers should be on the list, and sends that."),
    "lists_remove": ("Remove customers from a list", "Says that these customers shouldn't be on it, and sends that."),
    "memberships_list": ("List memberships", "Who should be on which list, and who is known to be."),
    "memberships_retrieve": ("Read a membership", "One customer on one list."),
    "memberships_push_many": (
        "Send memberships now",
        "Sends these memberships, changed or not, by their ids or by the parameters of their list.",
    ),
    "memberships_push": ("Send a membership now", "Sends this membership, changed or not."),
    "runs_list": ("List runs", "Who asked for what, and how far it is."),
    "runs_retrieve": ("Read a run", "One run. It goes on until `finished_at` is set."),
    "runs_retry": (
        "Retry what failed",
        "Sends those records of the run again that failed, after reading their objects again. Answers with a new run.",
    ),
    "runs_cancel": ("Cancel a run", "Takes back what hasn't been sent. Calls that are on their way are finished."),
    "calls_list": ("List calls", "The HTTP requests to Blueshift."),
    "calls_retrieve": ("Read a call", "One HTTP request, with its bodies for those who may read them."),
    "calls_resend": ("Send a call's records again", "Sends them with their newest values, in a new run."),
    "results_list": ("List results", "What became of each record in each call."),
    "results_retrieve": ("Read a result", "What became of one record in one call."),
    "status": (
        "How everything stands",
        "Answers 503 where it is beyond a threshold that the query sets; without thresholds always 200.",
    ),
    "metrics": ("Metrics for Prometheus", "The same facts, read when they are scraped."),
    "schema": ("This document", "OpenAPI 3.1 as JSON."),
}

SCHEMA_SETTINGS: dict[str, Any] = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "blueshift_sync",
    "DESCRIPTION": "Keeps a site's customers and list memberships in step with Blueshift.",
    "VERSION": __version__,
    "PREPROCESSING_HOOKS": [],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
    "ENUM_NAME_OVERRIDES": {
        "RecordState": "blueshift_sync.models.state.SyncState.State",
        "RunState": "blueshift_sync.models.audit.SyncRun.State",
        "CallState": "blueshift_sync.models.audit.ApiCall.State",
        "ListStatus": "blueshift_sync.models.lists.CustomerList.Status",
        "ListMode": "blueshift_sync.models.lists.CustomerList.Mode",
        "IdentifierKey": "blueshift_sync.models.lists.CustomerList.IdentifierKey",
        "RunKind": "blueshift_sync.models.audit.SyncRun.Kind",
        "RunTrigger": "blueshift_sync.models.audit.SyncRun.Trigger",
        "CallEndpoint": "blueshift_sync.models.audit.ApiCall.Endpoint",
        "Outcome": "blueshift_sync.models.audit.RecordResult.Outcome",
    },
    "COMPONENT_SPLIT_REQUEST": False,
    "COMPONENT_NO_READ_ONLY_REQUIRED": False,
    "SCHEMA_PATH_PREFIX": "/",
    "SCHEMA_PATH_PREFIX_TRIM": False,
    "SCHEMA_PATH_PREFIX_INSERT": "",
    "CAMELIZE_NAMES": False,
    "SERVERS": [],
    "TAGS": [],
    "EXTENSIONS_INFO": {},
    "EXTENSIONS_ROOT": {},
    "APPEND_COMPONENTS": {},
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}


class SyncSchema(AutoSchema):
    """How an endpoint describes itself."""

    view: Any

    @property
    def name(self) -> str:
        """Of the endpoint: the first part of its path here, whatever the site's prefix."""
        basename = getattr(self.view, "basename", None)
        return str(basename or type(self.view).__name__.removesuffix("View").lower())

    @property
    def action(self) -> str | None:
        return getattr(self.view, "action", None)

    @property
    def sends(self) -> bool:
        return bool(self.action) and "dry_run" in self.view.own_parameters

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation: Any = super().get_operation(*args, **kwargs)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                parameter["schema"] = ID
                parameter["description"] = "The row's primary key."
            parameter["example"] = examples.of_parameter(parameter)
        if body := operation.get("requestBody"):
            body["required"] = True
            body["content"]["application/json"]["example"] = examples.of_body(operation["operationId"])
        self._complete_responses(operation)
        return operation

    def _complete_responses(self, operation: dict[str, Any]) -> None:
        for code, response in operation["responses"].items():
            if header := HEADERS.get(int(code)):
                response["headers"] = _header(*header)
            for media_type, content in response.get("content", {}).items():
                content["example"] = examples.of_response(operation["operationId"], int(code), media_type)
        accepted = operation["responses"].get("202")
        if accepted and self.action == "try_again":
            accepted["headers"] = _header("Location", "uri", "The address of the list.", required=True)
        elif accepted:
            follow = {"operationId": "runs_retrieve", "parameters": {"id": "$response.body#/id"}}
            accepted["links"] = {"run": {**follow, "description": "How far it is."}}

    def get_operation_id(self) -> str:
        return f"{self.name}_{self.action}" if self.action else self.name

    def get_summary(self) -> str:
        return OPERATIONS[self.get_operation_id()][0]

    def get_description(self) -> str:  # type: ignore[override]
        return OPERATIONS[self.get_operation_id()][1]

    def get_tags(self) -> list[str]:
        return [self.name]

    def get_request_serializer(self) -> Any:
        if self.action == "create":
            return requests.NewListSerializer
        body = getattr(self.view, "body", None)
        return body if body is not requests.NothingSerializer else None

    def get_response_serializers(self) -> Any:
        found = dict(self._successes())
        codes = ACTING if self.method == "POST" else READING
        if self.name in {"metrics", "schema"}:
            codes = (*codes, 501)
        for code in codes:
            if (code, CONTENT_TYPE) in found:
                continue
            found[code, CONTENT_TYPE] = _described(ProblemSerializer, ERRORS[code])
        return found

    def _successes(self) -> Iterator[tuple[Any, Any]]:
        match self.name, self.action:
            case "status", _:
                yield 200, _described(StatusSerializer, "How everything stands.")
                told = "It is beyond a threshold, or nobody knows, or the database can't be used."
                yield (503, CONTENT_TYPE), _described(BeyondThresholdSerializer, told)
            case "metrics", _:
                for media_type in ("text/plain", "application/openmetrics-text"):
                    yield (200, media_type), _described(OpenApiTypes.STR, "The metrics, one a line.")
            case "schema", _:
                yield 200, _described(OpenApiTypes.OBJECT, "The document.")
            case _, "list":
                yield 200, _described(self.view.get_serializer_class()(many=True), "A page of rows.")
            case "calls", "retrieve":
                yield 200, _described(CallDetailSerializer, "The row.")
            case "lists", "create":
                yield 201, _described(ListSerializer, "The list. Members are sent once it is ready.")
                yield self._rehearsed()
            case "lists", "try_again":
                yield 202, _described(ListSerializer, "The list, as it is until a worker has looked at it.")
            case _, "retrieve":
                yield 200, _described(self.view.get_serializer_class(), "The row.")
            case _:
                yield 202, _described(RunSerializer, "The run that does it.")
                yield from [self._rehearsed()] if self.sends else []

    @staticmethod
    def _rehearsed() -> tuple[Any, Any]:
        return 200, _described(RehearsalSerializer, "With `dry_run=true`: what would be sent.")

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.action == "list"

    def get_override_parameters(self) -> list[Any]:
        return []

    def _get_parameters(self) -> list[dict[str, Any]]:
        return [*super()._get_parameters(), *self._own_parameters()]

    def _own_parameters(self) -> Iterator[dict[str, Any]]:
        if self.sends or self.action == "create":
            yield _in_query("dry_run", {"type": "boolean", "default": False}, "Only tell what would be sent.")
        if self.sends:
            meaning = "Of a rehearsal: where it goes on. Don't make it up: follow `next`."
            yield _in_query("cursor", TEXT, meaning)
        if self.method == "POST" and self.action != "try_again":
            made = "list" if self.action == "create" else "run"
            yield {
                "name": requests.KEY_HEADER,
                "in": "header",
                "description": f"The same request with the same key is done once, and answered with the same {made}.",
                "schema": {"type": "string", "pattern": f"^{requests.KEY_PATTERN}$"},
            }
        if self.name == "status":
            for name, threshold in THRESHOLDS.items():
                number = {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}
                yield _in_query(name, number, f"503 beyond so many {threshold.meaning}.")
            yield _in_query("sending", {"type": "string", "enum": ["on"]}, "503 while nothing is sent.")

    def _get_filter_parameters(self) -> list[dict[str, Any]]:
        if self.action != "list":
            return []
        filterset = self.view.filterset_class
        return [
            _in_query(name, _schema_of(filter_), _meaning(filter_)) for name, filter_ in filterset.base_filters.items()
        ]


class RowsExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Rows are named by one of two members, of which each says all that it takes."""

    target_class = "blueshift_sync.api.requests.RowsSerializer"
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        return str(type(self.target).__name__.removesuffix("Serializer"))

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        ids_name, filterset = self.target.ids_name, self.target.fields["filter"].filterset
        return {
            "type": "object",
            "description": "Which rows: by primary keys, or by the parameters of their list.",
            "properties": {
                ids_name: {"type": "array", "items": ID, "minItems": 1, "maxItems": requests.IDS_AT_ONCE},
                "filter": {
                    "type": "object",
                    "properties": {name: _schema_of(filter_) for name, filter_ in filterset.base_filters.items()},
                    "minProperties": 1,
                    "additionalProperties": False,
                },
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }


class NewListExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """By name or by number: each says all that it takes."""

    target_class = "blueshift_sync.api.requests.NewListSerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        keyed = {"identifier_key": {"type": "string", "enum": CustomerList.IdentifierKey.values}}
        both = {**keyed, "mode": {"type": "string", "enum": CustomerList.Mode.values}}
        name = {**TEXT, "maxLength": 255}
        description = {"type": "string", "pattern": "^[^\\u0000]*$"}
        return {
            "oneOf": [
                {
                    "type": "object",
                    "title": "ListToCreate",
                    "properties": {"name": name, "description": description, **both},
                    "required": ["name"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "title": "ListToTakeOn",
                    "properties": {"list_id": ID, **both},
                    "required": ["list_id"],
                    "additionalProperties": False,
                },
            ]
        }


def _described(response: Any, description: str) -> Any:
    return OpenApiResponse(response, description=description)


def _in_query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, kind: str, description: str, required: bool) -> dict[str, Any]:  # noqa: FBT001
    schema = {"type": "string", "format": kind} if kind else {"type": "string"}
    return {name: {"description": description, "required": required, "schema": schema}}


COMPARISONS = {"gte": "at least", "gt": "more than", "lte": "at most", "lt": "less than"}


def _meaning(filter_: Any) -> str:
    path = str(filter_.field_name).replace("s__", "’ ").replace("__", "’s ").replace("_", " ")
    comparison = COMPARISONS.get(filter_.lookup_expr)
    return f"Rows whose {path} is {comparison} this." if comparison else f"Rows with this {path}."


def _schema_of(filter_: Any) -> dict[str, Any]:
    """What a filter takes."""
    if isinstance(filter_, filters.MomentFilter):
        return {"type": "string", "format": "date-time"}
    if choices := filter_.extra.get("choices"):
        return {"type": "string", "enum": [value for value, _label in choices]}
    if isinstance(filter_, filters.SourceTypeFilter):
        return {"type": "string", "enum": filters.source_types()}
    model_field = filter_.extra.get("model_field")
    if isinstance(model_field, models.IntegerField):
        return {"type": "integer", **_bounds(model_field)}
    if isinstance(model_field, models.UUIDField):
        return {"type": "string", "format": "uuid"}
    kind = filters.json_type_of(filter_)
    return deepcopy(TEXT) if kind is str else {"type": JSON_TYPES[kind]}


def _bounds(field: models.IntegerField[Any, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for validator in field.validators:
        if isinstance(validator, MinValueValidator):
            found["minimum"] = max(found.get("minimum", -(2**63)), int(validator.limit_value))
        if isinstance(validator, MaxValueValidator):
            found["maximum"] = min(found.get("maximum", 2**63 - 1), int(validator.limit_value))
    return {"minimum": -(2**63), "maximum": 2**63 - 1, **found}


_one_at_a_time = Lock()


@cache
def _document() -> dict[str, Any]:
    from .urls import urlpatterns  # noqa: PLC0415 - they name the view that shows this

    with translation.override(None), patched_settings(SCHEMA_SETTINGS):
        return dict(SchemaGenerator(patterns=urlpatterns).get_schema(request=None, public=True))  # type: ignore[no-untyped-call]


def document(prefix: str) -> dict[str, Any]:
    """The document, for the endpoints below `prefix`."""
    # The generator's settings are the process's: they are changed once, and by one thread.
    with _one_at_a_time:
        return {**_document(), "servers": [{"url": prefix.rstrip("/") or "/"}]}
