"""Answers of the API: the documented bodies, word for word, and how they are made into bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: the status, the body's bytes and the headers besides those that every answer has."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = JSON


def answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":")).encode()
    extra = tuple((name.lower().encode(), text.encode()) for name, text in (headers or {}).items())
    return Answer(status, body, extra)


# From the table of common errors on the bulk customers page; 409, 413 and 422 from the OpenAPI document.
DOCUMENTED: dict[int, Any] = {
    400: {"errors": {"name": ["can't be blank"]}},
    401: {"message": "Not authorized"},
    403: {"message": "Permission denied"},
    404: {"status": "404", "error": "Not Found"},
    409: {"message": "Conflict error, please retry"},
    413: {"error": "You can upload maximum 50 users in one api call"},
    422: {"success": False, "error": "Validation failed"},
    429: {"message": "Rate limit exceeded"},
    500: {"message": "Internal Server Error - Please contact support for more information."},
    502: {"message": "Bad Gateway - Please retry the request."},
    503: {"message": "Service Unavailable - The service is temporarily unavailable. Try again later."},
    504: {"message": "Gateway Timeout - The server took too long to respond. Retry with exponential backoff."},
}


def documented(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """The documented answer for a status, or one in the same form where none is documented."""
    return answer(status, DOCUMENTED.get(status, {"message": phrase(status)}), headers)


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def html_page(status: int) -> Answer:
    """A page such as a gateway in front of the API makes."""
    title = f"{status} {phrase(status)}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>gateway</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), content_type=HTML)


# On the pages of the list endpoints.
LIST_OK = answer(200, {"status": "ok", "errors": []})
LIST_PARAMETERS = answer(400, {"errors": [{"detail": "Input params not valid"}]})
LIST_DELETED = answer(404, {"error": "The list has been deleted."})
LIST_OLD = answer(422, {"success": False, "error": "Functionality not supported for old list."})
# The form that the OpenAPI document gives for another resource that isn't there.
NOT_FOUND = answer(404, {"errors": [{"title": "error", "detail": "Error: Resource not found"}]})

BULK_OK = answer(200, {"customers": [], "errors": []})
BAD_REQUEST = answer(400, {"error": "bad_request"})
STATUS_OK = answer(200, {"status": "ok"})
# No page says what another content type gets: 415, so that a client that forgets the header is told.
NOT_JSON = answer(415, {"message": "Unsupported Media Type"})


def malformed_json(message: str, line: int, column: int) -> Answer:
    """The form documented on the catalog endpoint, with the place of the error."""
    text = f"Json Parse error: {message} at line {line}, column {column} [parse.c:671]"
    return answer(400, {"status": 400, "error": text})
