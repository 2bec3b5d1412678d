"""Every error in one shape, RFC 9457's problem details, whatever the site's EXCEPTION_HANDLER is.

`detail` is a sentence for people, `code` is for programs, and `errors` has the sentences about each field or parameter
by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.log import log_response
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.settings import api_settings

from ..exceptions import BlueshiftSyncError, KeyReused

CONTENT_TYPE = "application/problem+json"
#: So many fields are named, of a body in which everything may be wrong.
NAMED_AT_MOST = 20

#: Stands for a field where a sentence is about all of them.
OF_NO_FIELD = "non_field_errors"

NOT_FOUND = "There is nothing at this address."
REFUSED = "Django refuses the request: its Host isn't one of this site's, or it has too many parameters."
UNAVAILABLE = "The database can't be used at the moment. The server's log says why; try again in a while."
BROKEN = "Something went wrong on the server. It has been logged there."


class ProblemSerializer(serializers.Serializer[Any]):
    """What went wrong. `detail` is a sentence, `errors` has those about each field or parameter."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)  # type: ignore[assignment]


class Conflict(exceptions.APIException):
    """What is asked for can't be done as things stand."""

    status_code = HTTPStatus.CONFLICT
    default_code = "conflict"
    default_detail = "This can't be done as things stand."


class TooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The request is too large."


class NotInstalled(exceptions.APIException):
    """The endpoint needs a package that the site doesn't have."""

    status_code = HTTPStatus.NOT_IMPLEMENTED
    default_code = "not_installed"
    default_detail = "This endpoint needs a package that isn't installed."


def answer(error: Exception, context: Mapping[str, Any]) -> Response:
    """What an endpoint answers to an exception. DRF calls it in the place of the site's handler."""
    known = _known(error)
    if known is None:
        return _broken(context["request"]._request, error)
    errors = dict(islice(_named(known.detail), NAMED_AT_MOST)) if isinstance(known.detail, dict) else {}
    detail = _first(errors) if errors else " ".join(sentences for _name, sentences in _sentences(known.detail))
    extra = {"errors": errors} if errors else {}
    response = problem(known.status_code, detail, _code(known), **extra)
    for header, value in _headers(known):
        response[header] = value
    return response


def problem(status: int, detail: str, code: str, **more: Any) -> Response:
    """The answer with a problem; `more` are members of its own."""
    title = HTTPStatus(status).phrase
    data = {"type": "about:blank", "title": title, "status": int(status), "code": code, "detail": detail, **more}
    return Response(data, status=status, content_type=CONTENT_TYPE)


def _known(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound(NOT_FOUND)
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied()
        case SuspiciousOperation() | BadRequest():
            return exceptions.ParseError(REFUSED, code="refused")
        case BlueshiftSyncError():
            return Conflict(str(error), code="idempotency_key_reused" if isinstance(error, KeyReused) else None)
    return None


def _broken(request: Any, error: Exception) -> Response:
    """Told to the site's logs and error reports as Django does it, and to nobody else."""
    got_request_exception.send(sender=None, request=request)
    response = problem(HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN, "error")
    if isinstance(error, OperationalError | InterfaceError):
        response = problem(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "unavailable")
    log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error)
    return response


def _code(error: exceptions.APIException) -> str:
    codes = error.get_codes()
    return codes if isinstance(codes, str) else "invalid"


def _headers(error: exceptions.APIException) -> Iterator[tuple[str, str]]:
    if challenge := getattr(error, "auth_header", None):
        yield "WWW-Authenticate", challenge
    if wait := getattr(error, "wait", None):
        yield "Retry-After", str(int(wait))


def _named(detail: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """The sentences of nested fields, by their names with dots between."""
    for own_name, value in detail.items():
        # A site may call it otherwise.
        name = OF_NO_FIELD if own_name == api_settings.NON_FIELD_ERRORS_KEY else own_name
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", [sentence for _name, sentence in _sentences(value)]


def _sentences(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            for _name, sentence in _sentences(inner):
                yield str(name), sentence
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _sentences(inner)
    else:
        yield "", str(value)


def _first(errors: Mapping[str, list[str]]) -> str:
    name, sentences = next(iter(errors.items()))
    return f"{name}: {sentences[0]}" if sentences else name
