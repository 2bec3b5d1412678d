"""What each endpoint shows of a row. Related rows appear as their primary keys."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, TypeVar

from django.db import models
from django.utils import timezone
from rest_framework import ISO_8601, serializers

from ..delivery.runs import scope_of_ended
from ..models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from ..models.causes import without_addresses
from ..permissions import READ_BODIES
from .permissions import may_view

Row = TypeVar("Row", bound=models.Model)


BODIES_HIDDEN = f"Your user needs the permission {READ_BODIES} to read request and response bodies."


def may_read_bodies(user: Any) -> bool:
    return bool(user.has_perm(READ_BODIES))


class IsoDateTimeField(serializers.DateTimeField):
    """ISO 8601 with offset, even where the site's DATETIME_FORMAT is another, or its USE_TZ is off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format=ISO_8601, **options)

    def default_timezone(self) -> tzinfo:
        return timezone.get_current_timezone()


class RowSerializer(serializers.ModelSerializer[Row]):
    """Writes times and large numbers in one way, whatever the site's REST framework settings are."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: IsoDateTimeField,
        models.BigAutoField: serializers.IntegerField,
        models.BigIntegerField: serializers.IntegerField,
    }


class OfCustomerSerializer(RowSerializer[Row]):
    """For rows that are about a customer. What may name that customer is null for who may not view customers."""

    personal: tuple[str, ...] = ()

    def to_representation(self, instance: Row) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if not may_view(self.context["request"].user, Customer):
            shown.update(dict.fromkeys(self.personal))
        return shown


SOURCE_FIELDS = ("source_type", "source_id")
STATE_FIELDS = (
    "state",
    "version",
    "synced_version",
    "attempts",
    "due_at",
    "waiting_since",
    "synced_at",
    "error_code",
    "error_message",
    "run",
    "created_at",
)


class CustomerSerializer(RowSerializer[Customer]):
    """A customer as Blueshift should have it, and how far that is."""

    class Meta:
        model = Customer
        fields = (
            "id",
            "customer_id",
            "email",
            "uuid",
            "firstname",
            "lastname",
            "attributes",
            "subscription_groups",
            *SOURCE_FIELDS,
            *STATE_FIELDS,
        )
        read_only_fields = fields


class ListSerializer(RowSerializer[CustomerList]):
    """A customer list. `identifier_key` is empty until the list was read, `mode` where the setting decides."""

    identifier_key = serializers.ChoiceField(CustomerList.IdentifierKey.choices, allow_blank=True, read_only=True)
    mode = serializers.ChoiceField(CustomerList.Mode.choices, allow_blank=True, read_only=True)

    class Meta:
        model = CustomerList
        fields = (
            "id",
            "list_id",
            "name",
            "description",
            "identifier_key",
            "source",
            "status",
            "mode",
            "is_ready",
            "stopped_at",
            "user_count",
            "wanted_count",
            "known_count",
            "read_at",
            "error_code",
            "error_message",
            "created_at",
        )
        read_only_fields = fields


class MembershipSerializer(OfCustomerSerializer[ListMembership]):
    """Whether a customer should be on a list, and is known to be.

    `synced_identifier` and `error_message` are null for who may not view customers.
    """

    personal = ("synced_identifier", "error_message")

    synced_identifier = serializers.CharField(allow_null=True, read_only=True)
    error_message = serializers.CharField(allow_null=True, read_only=True)

    class Meta:
        model = ListMembership
        fields = (
            "id",
            "customer_list",
            "customer",
            "is_member",
            "synced_is_member",
            "synced_identifier",
            "synced_asynchronously",
            *SOURCE_FIELDS,
            *STATE_FIELDS,
        )
        read_only_fields = fields


class RunSerializer(RowSerializer[SyncRun]):
    """What was asked for, by whom, and how far it is. It has ended once `finished_at` is set."""

    requested_by_name = serializers.StringRelatedField[Any](source="requested_by", allow_null=True)
    scope = serializers.SerializerMethodField()

    class Meta:
        model = SyncRun
        fields = (
            "id",
            "kind",
            "trigger",
            "requested_by",
            "requested_by_name",
            "retry_of",
            "scope",
            "state",
            "total",
            "accepted",
            "rejected",
            "unknown",
            "unchanged",
            "calls_made",
            "error",
            "created_at",
            "started_at",
            "heartbeat_at",
            "closed_at",
            "cancel_requested_at",
            "finished_at",
        )
        read_only_fields = fields

    def get_scope(self, run: SyncRun) -> dict[str, Any]:
        return scope_of_ended(run)


class CallSerializer(RowSerializer[ApiCall]):
    """A call without its headers and bodies, which are many times as large as the rest.

    In `error` e-mail addresses are masked for who may not view customers.
    """

    error = serializers.SerializerMethodField()

    class Meta:
        model = ApiCall
        fields: tuple[str, ...] = (
            "id",
            "run",
            "customer_list",
            "endpoint",
            "method",
            "url",
            "status_code",
            "request_id",
            "state",
            "error_code",
            "error",
            "attempt",
            "record_count",
            "error_count",
            "rejected_count",
            "started_at",
            "duration_ms",
            "job_id",
        )
        read_only_fields = fields

    def get_error(self, call: ApiCall) -> str:
        return call.error if may_view(self.context["request"].user, Customer) else without_addresses(call.error)


class CallDetailSerializer(CallSerializer):
    """A call with its headers, and its bodies for those who may read them.

    `bodies_note` says why there are none, where there are none; it is null otherwise.
    """

    BODIES = ("request_body", "response_body")

    request_body = serializers.CharField(allow_null=True, read_only=True)
    response_body = serializers.CharField(allow_null=True, read_only=True)
    bodies_note = serializers.SerializerMethodField()

    class Meta(CallSerializer.Meta):
        fields = (
            *CallSerializer.Meta.fields,
            "request_headers",
            "request_body",
            "response_headers",
            "response_body",
            "bodies_emptied_at",
            "bodies_note",
        )
        read_only_fields = fields

    def get_bodies_note(self, call: ApiCall) -> str | None:
        if not self._may_read_bodies():
            return BODIES_HIDDEN
        if call.bodies_emptied_at:
            return "The bodies were emptied: they are kept for BODY_RETENTION_DAYS only."
        return None

    def to_representation(self, instance: ApiCall) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if not self._may_read_bodies():
            shown.update(dict.fromkeys(self.BODIES))
        return shown

    def _may_read_bodies(self) -> bool:
        return may_read_bodies(self.context["request"].user)


class ResultSerializer(OfCustomerSerializer[RecordResult]):
    """What became of one record in one call.

    `identifier`, `message` and `details` are null for who may not view customers.
    """

    personal = ("identifier", "message", "details")

    identifier = serializers.CharField(allow_null=True, read_only=True)
    message = serializers.CharField(allow_null=True, read_only=True)
    details = serializers.JSONField(allow_null=True, read_only=True)

    class Meta:
        model = RecordResult
        fields = (
            "id",
            "call",
            "customer",
            "membership",
            "position",
            "identifier",
            "version",
            "outcome",
            "code",
            "message",
            "details",
        )
        read_only_fields = fields
