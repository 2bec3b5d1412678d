"""The mirror and the audit, to be read: lists and details."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.parsers import JSONParser
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from ..models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from . import filters, serializers
from .pagination import KeysetPagination
from .permissions import HasPermissions, view_permission
from .rendering import AsciiJSONRenderer, FirstRenderer
from .throttling import SyncThrottle

Row = TypeVar("Row", bound=Model)


@method_decorator(never_cache, name="dispatch")
class SyncViewSet(ReadOnlyModelViewSet[Row]):
    """What all endpoints have in common.

    Whatever the site's REST framework settings are, these stay as they are. Only how users log in and how errors
    are worded is the site's affair.
    """

    renderer_classes = [AsciiJSONRenderer]
    parser_classes = [JSONParser]
    content_negotiation_class = FirstRenderer
    permission_classes = [HasPermissions]
    throttle_classes = [SyncThrottle]
    versioning_class = None
    metadata_class = None
    filter_backends = [filters.StrictFilterBackend]
    pagination_class = KeysetPagination
    lookup_value_converter = "int"

    filterset_class: type[filters.StrictFilterSet]
    ordering = "id"
    ordering_fields: tuple[str, ...] = ("id",)
    # What an action needs beyond the permission to view: `@action(…, required_permissions=(…,))`.
    required_permissions: tuple[str, ...] = ()

    def permissions_needed(self) -> tuple[str, ...]:
        """The full names of the permissions that this request needs."""
        return (view_permission(self.get_queryset().model), *self.required_permissions)


# Only id, customer_id, list_id and the default orderings have an index of their own. The others sort all rows
# that the filters leave.
RECORD_ORDERINGS = ("id", "created_at", "due_at", "waiting_since", "synced_at", "attempts")


class CustomerViewSet(SyncViewSet[Customer]):
    queryset = Customer.objects.all()
    serializer_class = serializers.CustomerSerializer
    filterset_class = filters.CustomerFilters
    ordering_fields = (*RECORD_ORDERINGS, "customer_id")


class ListViewSet(SyncViewSet[CustomerList]):
    queryset = CustomerList.objects.all()
    serializer_class = serializers.ListSerializer
    filterset_class = filters.ListFilters
    ordering_fields = ("id", "list_id", "name", "created_at")


class MembershipViewSet(SyncViewSet[ListMembership]):
    queryset = ListMembership.objects.all()
    serializer_class = serializers.MembershipSerializer
    filterset_class = filters.MembershipFilters
    ordering_fields = RECORD_ORDERINGS


class RunViewSet(SyncViewSet[SyncRun]):
    queryset = SyncRun.objects.select_related("requested_by")
    serializer_class = serializers.RunSerializer
    filterset_class = filters.RunFilters
    ordering = "-created_at"
    ordering_fields = ("id", "created_at", "started_at", "finished_at")


class CallViewSet(SyncViewSet[ApiCall]):
    queryset = ApiCall.objects.all()
    serializer_class = serializers.CallSerializer
    filterset_class = filters.CallFilters
    ordering = "-started_at"
    ordering_fields = ("id", "started_at", "duration_ms")

    def get_queryset(self) -> QuerySet[ApiCall]:
        calls = super().get_queryset()
        if self.detail:
            return calls
        return calls.defer("request_headers", "request_body", "response_headers", "response_body")

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return serializers.CallDetailSerializer if self.detail else serializers.CallSerializer


class ResultViewSet(SyncViewSet[RecordResult]):
    queryset = RecordResult.objects.all()
    serializer_class = serializers.ResultSerializer
    filterset_class = filters.ResultFilters
    ordering = "-id"
    ordering_fields = ("id", "position")
