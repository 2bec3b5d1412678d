"""What `dry_run=true` answers: the calls that would be made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Model
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from ..client.limits import REGIONS
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership
from ..sources.preview import Planned
from ..sources.rehearsal import Rehearsal
from .permissions import may_view, require_to_see, view_permission
from .requests import Rehearsing
from .serializers import BODIES_HIDDEN, may_read_bodies

#: In place of what is said of one record, which may quote its values.
NOT_SAID = f"It can't be sent as it is. To read why, your user needs the permission {view_permission(Customer)}."


class RecordSerializer(serializers.Serializer[Any]):
    """A record by its primary keys. A membership that would be made first has none."""

    customer = serializers.IntegerField(allow_null=True)
    membership = serializers.IntegerField(allow_null=True)


class LeftOutSerializer(RecordSerializer):
    reason = serializers.CharField()


class PlannedCallSerializer(serializers.Serializer[Any]):
    endpoint = serializers.ChoiceField(ApiCall.Endpoint.choices)
    method = serializers.CharField()
    url = serializers.CharField()
    record_count = serializers.IntegerField()
    records = RecordSerializer(many=True)
    request_body = serializers.CharField(allow_null=True)


class RehearsalSerializer(serializers.Serializer[Any]):
    """The calls, in their order, and what none of them carries. `next` leads to the rest: it is asked the same way."""

    calls = PlannedCallSerializer(many=True)
    left_out = LeftOutSerializer(many=True)
    bodies_note = serializers.CharField(allow_null=True)
    next = serializers.URLField(allow_null=True)


def shown(rehearsal: Rehearsal, request: Request, *, makes_memberships: bool = False) -> dict[str, Any]:
    """A rehearsal as `RehearsalSerializer` has it. Raises PermissionDenied where it tells of what isn't to be seen."""
    require_to_see(request.user, {type(row) for row in _rows(rehearsal)})
    bodies = may_read_bodies(request.user)

    def record(row: Model) -> dict[str, Any]:
        is_known = isinstance(row, ListMembership) and not makes_memberships
        with_customer = isinstance(row, ListMembership | CustomerRemoval)
        return {
            "customer": row.customer_id if with_customer else row.pk,  # type: ignore[attr-defined]
            "membership": row.pk if is_known else None,
        }

    def call(planned: Planned) -> dict[str, Any]:
        request = planned.request
        query = "".join(f"?{name}={value}" for name, value in request.query.items())
        return {
            "endpoint": request.endpoint.value,
            "method": request.method,
            "url": f"{_base_url()}{request.path}{query}",
            "record_count": len(planned.records),
            "records": [record(row) for row in planned.records],
            "request_body": (request.body or b"").decode("ascii") if bodies else None,
        }

    def why(row: Model, reason: str) -> str:
        is_said_of_one = isinstance(row, ListMembership) and reason == row.error_message
        return NOT_SAID if is_said_of_one and not may_view(request.user, Customer) else reason

    place = rehearsal.place
    url = request.build_absolute_uri()
    return {
        "calls": [call(planned) for planned in rehearsal.calls],
        "left_out": [{**record(row), "reason": why(row, reason)} for row, reason in rehearsal.left_out],
        "bodies_note": None if bodies else BODIES_HIDDEN,
        "next": replace_query_param(url, "cursor", Rehearsing.cursor(place)) if place else None,
    }


def _rows(rehearsal: Rehearsal) -> Iterator[Model]:
    for planned in rehearsal.calls:
        yield from planned.records
    for row, _reason in rehearsal.left_out:
        yield row


def _base_url() -> str:
    settings = app_settings()
    return (settings.BASE_URL or REGIONS[settings.REGION].api).rstrip("/")
