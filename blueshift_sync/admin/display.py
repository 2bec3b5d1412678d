"""How values look on the admin's pages. What they show came from outside, so all of it is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from ..client.limits import REGIONS
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncState
from ..models.causes import without_addresses
from .explanations import explain, in_words
from .permissions import may_user_view

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as Text

#: Characters of an error message that a list shows; the row's own page shows all.
MESSAGE_LENGTH = 120

#: Characters from which a fact on an object's page takes more than one column.
LONG_TEXT = 30

#: How a state, an outcome or a status is coloured. The badge's text says the same.
TONES = {
    "ACCEPTED": "good",
    "ACTIVE": "good",
    "CANCELLED": "quiet",
    "DELETED": "bad",
    "DONE": "good",
    "EXCLUDED": "quiet",
    "FAILED": "bad",
    "MATCHING": "busy",
    "OPEN": "busy",
    "PARTIAL": "doubtful",
    "PENDING": "waiting",
    "QUEUED": "waiting",
    "REJECTED": "bad",
    "READY": "waiting",
    "RETRY": "waiting",
    "RUNNING": "busy",
    "SENDING": "busy",
    "STARTED": "busy",
    "STOPPED": "bad",
    "SUCCEEDED": "good",
    "SYNCED": "good",
    "UNKNOWN": "doubtful",
    "UNSUPPORTED": "bad",
    "UPLOADING": "busy",
}


@dataclass(frozen=True)
class Table:
    """A table on an object's page. The first cell of a row is its heading; cells are escaped when shown.

    `note` stands above it.
    """

    title: Text
    headings: Sequence[Text]
    rows: Sequence[Sequence[Any]]
    empty: Text
    summary: Iterable[SafeString] = ()
    more: SafeString | None = None
    note: Text = ""


class Fact(NamedTuple):
    """A labelled value on an object's page; `is_long` for text that needs room."""

    label: Text
    value: Any
    is_long: bool


def facts(*pairs: tuple[Text, Any]) -> list[Fact]:
    """The facts that have a value. Zero is one."""
    return [
        Fact(label, value, is_long=isinstance(value, str) and len(strip_tags(value)) > LONG_TEXT)
        for label, value in pairs
        if value is not None and value != ""
    ]


# Who may see what

#: Who looks at the page that is being made. Cells of lists are made by functions that aren't told.
_VIEWER: ContextVar[Any] = ContextVar("blueshift_sync_viewer", default=None)


def shown_to(request: HttpRequest) -> None:
    """Says who looks at what is made from now on: a link to what he may not view is text to him."""
    _VIEWER.set(request.user)


def customers_are_named() -> bool:
    """Whether who looks at the page may see who customers are: their identifiers, and what was said of one of them."""
    return may_user_view(_VIEWER.get(), Customer)


def name_of(row: Model) -> str:
    """The row as pages call it: with the customer that it is of, if customers are named, else by its number."""
    match row:
        case Customer() if not customers_are_named():
            return f"#{row.pk}"
        case ListMembership() if customers_are_named():
            return f"{row.customer} – {row.customer_list}"
        case RecordResult() if customers_are_named():
            return f"{row.identifier or row.position}: {row.outcome}"
    return str(row)


def said_of_one(message: str) -> str:
    """What was said of one record, which may quote its values; nothing where customers aren't named."""
    return message if customers_are_named() else ""


def said_of(record: Any) -> str:
    """What is wrong with a record, as far as that may be shown. A removal's page names the customer anyway."""
    message = str(record.error_message)
    return message if isinstance(record, CustomerRemoval) else said_of_one(message)


def said_of_many(message: str) -> str:
    """What was said of a whole call; where customers aren't named, without the e-mail addresses that it quotes."""
    return message if customers_are_named() else without_addresses(message)


# Links


def _linked(model: type[Model], address: str, text: Any) -> SafeString:
    if not may_user_view(_VIEWER.get(), model):
        return format_html("{}", text)
    return format_html('<a href="{}">{}</a>', address, text)


def admin_url(row: Model) -> str:
    """The address of the row's own page."""
    return page_url(type(row), row.pk)


def page_url(model: type[Model], pk: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(pk)])


def list_url(model: type[Model], **filters: Any) -> str:
    """The address of the model's list, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def link(row: Model | None, text: Any = None) -> SafeString | str:
    """A link to the row's page; nothing for no row."""
    if row is None:
        return ""
    return _linked(type(row), admin_url(row), name_of(row) if text is None else text)


def link_to(model: type[Model], pk: Any, text: str) -> SafeString:
    """A link to the page of a row that need not be read for it; it reads "#5" where there is no text."""
    return _linked(model, page_url(model, pk), text or f"#{pk}")


def numbered_link(row: Model | None) -> SafeString | str:
    """A link to the row's page that reads "#5"."""
    return "" if row is None else link(row, f"#{row.pk}")


def list_link(text: Any, model: type[Model], **filters: Any) -> SafeString:
    return _linked(model, list_url(model, **filters), text)


def app_address() -> str | None:
    """The address of Blueshift's own app for the region; None where BASE_URL leads somewhere else."""
    ours = app_settings()
    return None if ours.BASE_URL else REGIONS[ours.REGION].app


def blueshift_link(page: str, text: Any) -> SafeString | str:
    """A link to a page of Blueshift's app, where it is known. `page` is fit for an address."""
    address = app_address()
    if address is None:
        return ""
    url = f"{address}/dashboard#/app/{page}"
    return format_html('<a href="{}" rel="noreferrer">{}</a>', url, text)


# States and errors


def badge(value: str, text: Any) -> SafeString:
    """`value` decides the colour, `text` is what is read."""
    return format_html('<span class="bsync-badge bsync-{}">{}</span>', TONES.get(value, "quiet"), text)


def state_badge(row: Any) -> SafeString:
    """The badge of anything with a `state`. A membership in step by an asynchronous call was only accepted."""
    if isinstance(row, ListMembership) and row.state == SyncState.State.SYNCED and row.synced_asynchronously:
        return badge(row.state, _("Accepted by Blueshift for processing"))
    return badge(row.state, row.get_state_display())


def call_badge(call: ApiCall) -> SafeString:
    """The state of a call. An asynchronous one that went well was only accepted: nothing says it is done."""
    if call.state == ApiCall.State.SUCCEEDED and is_asynchronous(call):
        return badge(call.state, _("Accepted for processing"))
    return state_badge(call)


def is_asynchronous(call: ApiCall) -> bool:
    """Whether Blueshift answers the call before it does the work: `?async=true`, and the removal of a customer."""
    if call.endpoint in {ApiCall.Endpoint.CUSTOMER_DELETE, ApiCall.Endpoint.CUSTOMER_FORGET}:
        return True
    return parse_qs(urlsplit(call.url).query).get("async") == ["true"]


def problem(code: str, message: str, **same_problem: str) -> SafeString | str:
    """An error's code and the start of its message. The code links to the rows that `same_problem` filters."""
    if not code and not message:
        return ""
    is_linked = bool(code and same_problem)
    shown_code = format_html('<a href="?{}">{}</a>', urlencode(same_problem), code) if is_linked else code
    return format_html(
        '<span class="bsync-problem"><code>{}</code> {}</span>',
        shown_code,
        Truncator(in_words(code, message)).chars(MESSAGE_LENGTH),
    )


def error_facts(code: str, message: str) -> list[Fact]:
    """An error on an object's page: what was said, what that means and what to do."""
    if not code and not message:
        return []
    explanation = explain(code)
    return facts(
        (_("Error"), problem(code, "")),
        (_("Error message"), message),
        (_("What it means"), str(explanation.meaning)),
        (_("What to do"), str(explanation.advice)),
    )


def cause_cell(code: str, message: str) -> SafeString:
    """The code and what was said, what that means and what to do."""
    explanation = explain(code)
    return format_html(
        '<span class="bsync-cause"><code>{}</code> <span class="bsync-said">{}</span>'
        '<span class="bsync-second">{}</span><span class="bsync-second"><strong>{}</strong> {}</span></span>',
        code,
        message,
        explanation.meaning,
        _("What to do:"),
        explanation.advice,
    )


# Values


def moment(value: datetime | None) -> SafeString | str:
    """A date and time, to the second and read alike everywhere, in the current time zone."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return format_html(
        '<time class="bsync-time" dir="ltr" datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M:%S}"
    )


def elapsed(value: datetime | None) -> SafeString | str:
    """How long ago it was, with the date and time for those who point at it."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        timesince(value),
    )


def milliseconds(value: int | None) -> str:
    if value is None:
        return ""
    if value < 1000:
        return _("%(number)s ms") % {"number": value}
    return _("%(number)s s") % {"number": number_format(value / 1000, decimal_pos=1)}


def indented_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def preformatted(text: str) -> SafeString | str:
    return format_html('<pre class="bsync-pre" dir="ltr">{}</pre>', text) if text else ""
