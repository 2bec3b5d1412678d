"""The mirror and the audit: lists and details to be read, and what can be set going with their rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from .. import services
from ..delivery.idempotency import RequestKey
from ..models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from ..permissions import CHANGE_LISTS, PUSH_PERMISSIONS, RESEND
from ..services import Selection
from ..sources.rehearsal import Place, Rehearsal
from . import filters, rehearsals, requests, serializers
from .endpoints import Endpoint, address_of
from .pagination import KeysetPagination
from .permissions import ADD_LIST, permissions_to_send, require, view_permission
from .problems import NOT_FOUND, Conflict

Row = TypeVar("Row", bound=Model)
Handler = TypeVar("Handler", bound=Callable[..., Response])
API = SyncRun.Trigger.API


class NothingHere(Endpoint):
    """Whatever else is asked for below one of the endpoints. Without it the site would answer, in another shape."""

    schema = None

    def permissions_needed(self) -> tuple[str, ...]:
        return ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(NOT_FOUND if request.path.endswith("/") else f"{NOT_FOUND} All of them end with a slash.")


class SyncViewSet(Endpoint, ReadOnlyModelViewSet[Row]):
    filter_backends = [filters.StrictFilterBackend]
    pagination_class = KeysetPagination
    lookup_value_converter = "str"  # what is no number is refused by `get_object`, in the shape of all errors

    filterset_class: type[filters.StrictFilterSet]
    ordering = "id"
    ordering_fields: tuple[str, ...] = ("id",)
    # What an action needs beyond the permission to view, and what its body may be, as `@action(…)` says it.
    required_permissions: Sequence[str] = ()
    body: type[requests.StrictSerializer] | None = None

    def permissions_needed(self) -> tuple[str, ...]:
        return (view_permission(self.get_queryset().model), *self.required_permissions)

    def get_object(self) -> Row:
        if not re.fullmatch("[0-9]{1,19}", self.kwargs["pk"]) or int(self.kwargs["pk"]) > requests.LARGEST_ID:
            raise Http404(NOT_FOUND)
        return super().get_object()

    # What sends

    def send(
        self,
        request: Request,
        start: Callable[[RequestKey | None], SyncRun],
        rehearse: Callable[[Place | None], Rehearsal],
        *,
        makes_memberships: bool = False,
    ) -> Response:
        """Answers 202 with the run that `start` makes, or that the same request made before; or with a rehearsal.

        What the address names is looked for by `start` and `rehearse` only: of a request made before it may be gone.
        """
        rehearsing = requests.Rehearsing(request)
        if rehearsing.wanted:
            found = rehearse(rehearsing.place)
            return Response(rehearsals.shown(found, request, makes_memberships=makes_memberships))
        key = requests.request_key(request)
        return self.accepted(request, _made_before(key) or start(key))

    def accepted(self, request: Request, run: SyncRun) -> Response:
        data = serializers.RunSerializer(run, context=self.get_serializer_context()).data
        location = address_of(request, "runs-detail", pk=run.pk)
        return Response(data, status=HTTPStatus.ACCEPTED, headers={"Location": location})

    def checked_body(self, request: Request, kind: type[requests.Body]) -> requests.Body:
        body = kind(data=request.data, context={"request": request})
        body.is_valid(raise_exception=True)
        return body


def _made_before(key: RequestKey | None) -> SyncRun | None:
    """The run of the same request, before anything of it is looked at: what it names may be gone by now."""
    return key.run() if key else None


def asking_user(request: Request) -> Any:
    """The user for the books; None where the site's authentication knows other things than users."""
    return request.user if isinstance(request.user, get_user_model()) else None


def sending_action(body: type[requests.StrictSerializer], **options: Any) -> Callable[[Handler], Handler]:
    """An action that sends, or rehearses sending. `body` is what it takes."""
    made: Any = action(methods=["post"], own_parameters=requests.Rehearsing.parameters, body=body, **options)
    decorator: Callable[[Handler], Handler] = made
    return decorator


class PushViewSet(SyncViewSet[Row]):
    """For what can be sent: many rows, or one."""

    def push_rows(self, request: Request, body: type[requests.RowsSerializer]) -> Response:
        rows = self.checked_body(request, body)
        return self.send(
            request,
            lambda key: services.push(rows.selection(), asking_user(request), trigger=API, asked_as=key),
            lambda place: services.rehearse_push(rows.selection(), after=place),
        )

    def push_row(self, request: Request) -> Response:
        self.checked_body(request, requests.NothingSerializer)

        def selection() -> Selection:
            row = self.get_object()
            return Selection(type(row), Q(pk=row.pk))

        return self.send(
            request,
            lambda key: services.push(selection(), asking_user(request), trigger=API, asked_as=key),
            lambda place: services.rehearse_push(selection(), after=place),
        )


# Only id, customer_id, list_id and the default orderings have an index of their own. The others sort all rows
# that the filters leave.
RECORD_ORDERINGS = ("id", "created_at", "due_at", "waiting_since", "synced_at", "attempts")


class CustomerViewSet(PushViewSet[Customer]):
    queryset = Customer.objects.all()
    serializer_class = serializers.CustomerSerializer
    filterset_class = filters.CustomerFilters
    ordering_fields = (*RECORD_ORDERINGS, "customer_id")

    @sending_action(
        requests.CustomersToPushSerializer,
        detail=False,
        url_path="push",
        required_permissions=(PUSH_PERMISSIONS[Customer],),
    )
    def push_many(self, request: Request, **kwargs: Any) -> Response:
        return self.push_rows(request, requests.CustomersToPushSerializer)

    @sending_action(requests.NothingSerializer, detail=True, required_permissions=(PUSH_PERMISSIONS[Customer],))
    def push(self, request: Request, **kwargs: Any) -> Response:
        return self.push_row(request)


class ListViewSet(SyncViewSet[CustomerList]):
    queryset = CustomerList.objects.all()
    serializer_class = serializers.ListSerializer
    filterset_class = filters.ListFilters
    ordering_fields = ("id", "list_id", "name", "created_at")

    def permissions_needed(self) -> tuple[str, ...]:
        adds = (ADD_LIST,) if self.action == "create" else ()
        return (*super().permissions_needed(), *adds)

    def create(self, request: Request, **kwargs: Any) -> Response:
        rehearsing = requests.DryRun(request)
        wanted = self.checked_body(request, requests.NewListSerializer).validated_data
        make = partial(services.take_on_list if "list_id" in wanted else services.create_list, **wanted)
        asked_as = requests.request_key(request)
        if rehearsing.wanted:
            return Response(rehearsals.shown(services.rehearse_new_list(make), request))
        return self._told(request, make(asked_as=asked_as), HTTPStatus.CREATED)

    def _told(self, request: Request, row: CustomerList, status: HTTPStatus) -> Response:
        data = serializers.ListSerializer(row, context=self.get_serializer_context()).data
        return Response(data, status=status, headers={"Location": address_of(request, "lists-detail", pk=row.pk)})

    @action(
        methods=["post"],
        detail=True,
        url_path="try-again",
        body=requests.NothingSerializer,
        required_permissions=(PUSH_PERMISSIONS[ListMembership],),
    )
    def try_again(self, request: Request, **kwargs: Any) -> Response:
        """Of one that goes on nothing: so it may be repeated when the answer was lost."""
        filters.refuse_others(request, ())
        requests.refuse_key(request)
        self.checked_body(request, requests.NothingSerializer)
        customer_list = self.get_object()
        if customer_list.has_stopped:
            services.try_list_again(customer_list)
        return self._told(request, customer_list, HTTPStatus.ACCEPTED)

    @sending_action(
        requests.CustomersToListSerializer,
        detail=True,
        required_permissions=(view_permission(Customer), *CHANGE_LISTS),
    )
    def add(self, request: Request, **kwargs: Any) -> Response:
        return self._change(request, services.add_to_list, is_member=True)

    @sending_action(
        requests.CustomersToListSerializer,
        detail=True,
        required_permissions=(view_permission(Customer), *CHANGE_LISTS),
    )
    def remove(self, request: Request, **kwargs: Any) -> Response:
        return self._change(request, services.remove_from_list, is_member=False)

    def _change(self, request: Request, change: Callable[..., SyncRun], *, is_member: bool) -> Response:
        customers = self.checked_body(request, requests.CustomersToListSerializer)
        return self.send(
            request,
            lambda key: change(
                self._list_to_change(), customers.selection(), asking_user(request), trigger=API, asked_as=key
            ),
            lambda place: services.rehearse_list_change(
                self._list_to_change(), customers.selection(), is_member=is_member, after=place
            ),
            makes_memberships=True,
        )

    def _list_to_change(self) -> CustomerList:
        customer_list = self.get_object()
        if customer_list.status != CustomerList.Status.ACTIVE:
            raise Conflict(f"Blueshift has no such list any more, or doesn't support it: {customer_list}.")
        return customer_list


class MembershipViewSet(PushViewSet[ListMembership]):
    queryset = ListMembership.objects.all()
    serializer_class = serializers.MembershipSerializer
    filterset_class = filters.MembershipFilters
    ordering_fields = RECORD_ORDERINGS

    @sending_action(
        requests.MembershipsToPushSerializer,
        detail=False,
        url_path="push",
        required_permissions=(PUSH_PERMISSIONS[ListMembership],),
    )
    def push_many(self, request: Request, **kwargs: Any) -> Response:
        return self.push_rows(request, requests.MembershipsToPushSerializer)

    @sending_action(requests.NothingSerializer, detail=True, required_permissions=(PUSH_PERMISSIONS[ListMembership],))
    def push(self, request: Request, **kwargs: Any) -> Response:
        return self.push_row(request)


class RunViewSet(SyncViewSet[SyncRun]):
    queryset = SyncRun.objects.select_related("requested_by")
    serializer_class = serializers.RunSerializer
    filterset_class = filters.RunFilters
    ordering = "-created_at"
    ordering_fields = ("id", "created_at", "started_at", "finished_at")

    @sending_action(requests.NothingSerializer, detail=True)
    def retry(self, request: Request, **kwargs: Any) -> Response:
        self.checked_body(request, requests.NothingSerializer)
        return self.send(
            request,
            lambda key: services.retry(self._run_to_act_on(request), asking_user(request), asked_as=key),
            lambda place: services.rehearse_retry(self._run_to_act_on(request), after=place),
        )

    @action(methods=["post"], detail=True, body=requests.NothingSerializer)
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        self.checked_body(request, requests.NothingSerializer)
        run = self._run_to_act_on(request)
        key = requests.request_key(request)
        _made_before(key)
        return self.accepted(request, services.cancel(run))

    def _run_to_act_on(self, request: Request) -> SyncRun:
        run = self.get_object()
        require(request.user, permissions_to_send(run))
        return run


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

    @sending_action(requests.NothingSerializer, detail=True, required_permissions=(RESEND,))
    def resend(self, request: Request, **kwargs: Any) -> Response:
        self.checked_body(request, requests.NothingSerializer)
        return self.send(
            request,
            lambda key: self._resent(self.get_object(), request, key),
            lambda place: services.rehearse_resend(self.get_object(), after=place),
        )

    def _resent(self, call: ApiCall, request: Request, key: RequestKey | None) -> SyncRun:
        runs = services.resend([call], asking_user(request), trigger=API, asked_as=key)
        if not runs:
            raise Conflict("This call carried no customers or memberships that are still there to be sent again.")
        return runs[0]  # a call carries records of one kind


class ResultViewSet(SyncViewSet[RecordResult]):
    queryset = RecordResult.objects.all()
    serializer_class = serializers.ResultSerializer
    filterset_class = filters.ResultFilters
    ordering = "-id"
    ordering_fields = ("id", "position")
