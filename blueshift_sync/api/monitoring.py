"""How everything stands: for monitors, and for Prometheus."""

from __future__ import annotations

import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ..delivery.runs import MODELS, SentModel
from ..delivery.status import Status, take_status
from ..delivery.status_json import as_json
from ..delivery.status_totals import THRESHOLDS, beyond, status_for, totals_of, why_not_sending
from ..models import Customer
from .endpoints import Endpoint
from .filters import refuse_others
from .permissions import may_view, view_permission
from .problems import NotInstalled, problem


class StatusEndpoint(Endpoint):
    """Tells of the records that the user may see, and needs the permission to view any of them."""

    def permissions_needed(self) -> tuple[str, ...]:
        return () if self.visible_models() else (view_permission(Customer),)

    def visible_models(self) -> list[SentModel]:
        return [model for model in MODELS if may_view(self.request.user, model)]


class StatusView(StatusEndpoint):
    own_parameters = (*THRESHOLDS, "sending")

    def get(self, request: Request, **kwargs: Any) -> Response:
        parameters = refuse_others(request, self.own_parameters)
        must_send = parameters.pop("sending", None)
        if must_send not in {None, "on"}:
            raise ValidationError({"sending": ["This can only be “on”: a 503 then tells that nothing is sent."]})
        bounds = _bounds(parameters)
        status = status_for(bounds, self.visible_models())
        trouble = beyond(status, bounds)
        if must_send and (reason := why_not_sending(status)):
            trouble["sending"] = reason
        shown = facts(status)
        if not trouble:
            return Response(shown)
        errors = {name: [sentence] for name, sentence in trouble.items()}
        detail = " ".join(trouble.values())
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, "beyond_threshold", errors=errors, **shown)


def facts(status: Status) -> dict[str, Any]:
    """The sums, and below them what `blueshift_status --json` tells."""
    totals = asdict(totals_of(status))
    details = as_json(status)
    del totals["sends"], totals["workers"]
    return {
        **totals,
        **details,
        "sending": {**details["sending"], "reason": why_not_sending(status) or None},
    }


def _bounds(parameters: dict[str, str]) -> dict[str, int]:
    if wrong := [name for name, text in parameters.items() if not re.fullmatch("[0-9]{1,12}", text)]:
        raise ValidationError({name: ["This must be a whole number, 0 or more."] for name in wrong})
    return {name: int(text) for name, text in parameters.items()}


class MetricsView(StatusEndpoint):
    def get(self, request: Request, **kwargs: Any) -> HttpResponse:
        refuse_others(request, ())
        try:
            from .. import metrics  # noqa: PLC0415 - an extra
        except ImportError:
            raise NotInstalled(
                "Metrics need the package prometheus-client: pip install 'blueshift-sync[metrics]'."
            ) from None
        body, content_type = metrics.exposition(take_status(self.visible_models()), request.headers.get("Accept", ""))
        return HttpResponse(body, content_type=content_type)
