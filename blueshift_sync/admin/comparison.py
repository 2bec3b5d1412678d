"""What Blueshift should hold of a customer, beside what it was last sent and has accepted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..delivery.redaction import MASK
from ..models import ApiCall, Customer, RecordResult
from ..permissions import READ_BODIES
from .display import Table, badge, indented_json, link_to, moment, preformatted
from .forms import STANDARD_FIELDS

#: Stands for a field that isn't there.
ABSENT: Any = object()


def comparison(request: HttpRequest, customer: Customer) -> Table:
    """A table with a row for each field. Where there is no body to compare with, it says why."""
    payload = customer.payload
    result = _last_accepted(customer)
    sent, why_not = _sent(request, result)
    if why_not or result is None:
        headings, rows = [_("Field"), _("Should hold")], [[name, _shown(payload[name])] for name in _ordered(payload)]
    else:
        headings = [_("Field"), _("Should hold"), _("Was last sent"), _("Difference")]
        rows = [
            [name, _shown(payload.get(name, ABSENT)), _shown(sent.get(name, ABSENT)), _difference(name, payload, sent)]
            for name in sorted(_ordered({**payload, **sent}), key=lambda name: _is_same(name, payload, sent))
        ]
    return Table(
        title=_("What Blueshift should hold, and what it was last sent"),
        headings=headings,
        rows=rows,
        summary=[] if why_not or result is None else [_about(result)],
        empty=_("There is nothing to send of it."),
        note=why_not,
    )


def _ordered(fields: Iterable[str]) -> list[str]:
    """What identifies a customer first."""
    return sorted(fields, key=lambda name: STANDARD_FIELDS.index(name) if name in STANDARD_FIELDS else math.inf)


def _last_accepted(customer: Customer) -> RecordResult | None:
    """Of the newest results. Without the bodies, which not everybody may read."""
    accepted = customer.results.filter(
        membership=None, outcome=RecordResult.Outcome.ACCEPTED, call__endpoint=ApiCall.Endpoint.CUSTOMERS_BULK
    )
    return (
        accepted.select_related("call")
        .defer("call__request_headers", "call__request_body", "call__response_headers", "call__response_body")
        .order_by("-id")
        .first()
    )


def _sent(request: HttpRequest, result: RecordResult | None) -> tuple[dict[str, Any], str]:
    """What was sent, or a sentence on why that can't be shown."""
    if result is None:
        return {}, _("Blueshift has accepted nothing of this customer yet, as far as the audit goes back.")
    if not request.user.has_perm(READ_BODIES):
        return {}, _("To see what was last sent you need the permission “Can read request and response bodies”.")
    call = result.call
    if call.bodies_emptied_at is not None:
        text = _(
            "What was last sent isn't known any more: the body was emptied on %(date)s, as "
            "BLUESHIFT_SYNC[“BODY_RETENTION_DAYS”] says."
        )
        return {}, text % {"date": f"{call.bodies_emptied_at:%Y-%m-%d}"}
    try:
        sent = json.loads(call.request_body)["customers"][result.position]
    except (ValueError, LookupError, TypeError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        return {}, _("The body of the call doesn't hold this customer: it wasn't stored, or not in full.")
    return sent, ""


def _about(result: RecordResult) -> SafeString:
    number = _("Call #%(number)s") % {"number": result.call_id}
    return format_html("{} {}", link_to(ApiCall, result.call_id, number), moment(result.call.started_at))


def _shown(value: Any) -> Any:
    if value is ABSENT:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return preformatted(indented_json(value))
    return format_html("<code>{}</code>", indented_json(value))


def _difference(name: str, payload: dict[str, Any], sent: dict[str, Any]) -> SafeString:
    if name not in sent:
        return badge("PENDING", _("Not sent yet"))
    if name not in payload:
        return badge("UNKNOWN", _("No longer sent; Blueshift keeps it"))
    if _is_masked(sent[name]):
        return badge("", _("Masked by REDACT: can't be compared"))
    if not _is_same(name, payload, sent):
        return badge("UNKNOWN", _("Changed"))
    return badge("", _("The same"))


def _is_same(name: str, payload: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Whether the JSON is: 1 and 1.0 are two values."""
    if name not in payload or name not in sent:
        return False
    return json.dumps(sent[name], sort_keys=True) == json.dumps(payload[name], sort_keys=True)


def _is_masked(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_masked, value))
    if isinstance(value, dict):
        return any(map(_is_masked, value.values()))
    return bool(value == MASK)
