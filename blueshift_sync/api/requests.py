"""What a request to do something says: which rows, under which key, and whether in earnest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, TypeVar

from django.core import signing
from django.db.models import Model, Q
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

from ..delivery.idempotency import RequestKey
from ..models import Customer, CustomerList, ListMembership
from ..services import Selection
from ..sources.rehearsal import Place
from . import filters
from .filters import CustomerFilters, MembershipFilters, StrictFilterSet, refuse_others

IDS_AT_ONCE = 10_000
LARGEST_ID = 2**63 - 1
KEY_HEADER = "Idempotency-Key"
KEY_PATTERN = "[!-~]{1,64}"
#: Digits of a digest of the user's primary key, which may be a text of any length, before the key.
OWNER_DIGITS = 32
#: So many rows that don't exist are named.
MISSING_NAMED = 10
PLACE_SALT = "blueshift_sync.api.rehearsal"


Body = TypeVar("Body", bound="StrictSerializer")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses what it doesn't know."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(str(name) for name in data.keys() - self.fields.keys())):
            known = ", ".join(self.fields) or "none"
            raise ValidationError(
                {name: [f"There is no “{name}” here. Those that there are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)


class IdField(serializers.Field[int, Any, int, Any]):
    """A primary key: a number, and no text that looks like one."""

    def to_internal_value(self, data: Any) -> int:
        number = filters.whole(data)
        if type(number) is not int or not 1 <= number <= LARGEST_ID:
            raise ValidationError(f"Each is a whole number from 1 to {LARGEST_ID}.")
        return number

    def to_representation(self, value: int) -> int:
        return value


class IdsField(serializers.ListField):
    def __init__(self, **options: Any) -> None:
        super().__init__(child=IdField(), min_length=1, max_length=IDS_AT_ONCE, **options)


class FilterField(serializers.Field["Q", Any, Any, Any]):
    """The query parameters of a list, as an object."""

    def __init__(self, filterset: type[StrictFilterSet], **options: Any) -> None:
        super().__init__(**options)
        self.filterset = filterset

    def to_internal_value(self, data: Any) -> Q:
        if not isinstance(data, dict):
            raise ValidationError('This is an object with the parameters of the list, such as {"state": "FAILED"}.')
        if not data:
            raise ValidationError(
                "An empty filter would choose everything. Give one that all fulfil, such as created_at__gte, to do so."
            )
        filters.require_to_look(self.context["request"].user, self.filterset, data)
        return self.filterset.where_json(data)

    def to_representation(self, value: Any) -> Any:
        return value


class RowsSerializer(StrictSerializer):
    """Rows by their primary keys, or by a filter: one of the two."""

    ids_name = "ids"
    model: type[Model]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise ValidationError(
                {self.ids_name: [f"Say which rows are meant: either by “{self.ids_name}” or by “filter”."]}
            )
        return attrs

    def selection(self) -> Selection:
        """The rows that are meant. Raises NotFound for primary keys that there are no rows for."""
        if "filter" in self.validated_data:
            return Selection(self.model, self.validated_data["filter"])
        pks = set(self.validated_data[self.ids_name])
        selection = Selection(self.model, Q(pk__in=sorted(pks)))
        if missing := sorted(pks - set(selection.rows.values_list("pk", flat=True))):
            named = ", ".join(map(str, missing[:MISSING_NAMED])) + (", …" if len(missing) > MISSING_NAMED else "")
            raise NotFound({self.ids_name: [f"There is no {self.model._meta.verbose_name} {named}."]})
        return selection


class CustomersToPushSerializer(RowsSerializer):
    model = Customer

    ids = IdsField(required=False)
    filter = FilterField(CustomerFilters, required=False)


class MembershipsToPushSerializer(RowsSerializer):
    model = ListMembership

    ids = IdsField(required=False)
    filter = FilterField(MembershipFilters, required=False)


class CustomersToListSerializer(RowsSerializer):
    ids_name = "customers"
    model = Customer

    customers = IdsField(required=False)
    filter = FilterField(CustomerFilters, required=False)


class StrictTextField(serializers.CharField):
    """Text, and no number that could be written as one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("This must be text.")
        return str(super().to_internal_value(data))


class NewListSerializer(StrictSerializer):
    """A list to be created in Blueshift, by its name, or one that is there, by its number."""

    list_id = IdField(required=False)
    name = StrictTextField(required=False, max_length=255)
    description = StrictTextField(required=False, allow_blank=True, trim_whitespace=False)
    identifier_key = serializers.ChoiceField(CustomerList.IdentifierKey.choices, required=False)
    mode = serializers.ChoiceField(CustomerList.Mode.choices, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("list_id" in attrs) == ("name" in attrs):
            raise ValidationError({"name": ["Give the name of a list to create, or the list_id of one to take on."]})
        if "list_id" in attrs and "description" in attrs:
            raise ValidationError({"description": ["A list that is there has its own description."]})
        return attrs


class NothingSerializer(StrictSerializer):
    """No body is needed, and none but an empty object is taken."""


def refuse_key(request: Request) -> None:
    """For what makes nothing new: a key that did nothing would be trusted all the same."""
    if KEY_HEADER in request.headers:
        raise ValidationError({KEY_HEADER: ["This makes no run, and may be repeated as it is: it takes no key."]})


def request_key(request: Request) -> RequestKey | None:
    """The request's idempotency key, which is its user's own; None without one."""
    text = request.headers.get(KEY_HEADER)
    if text is None:
        return None
    if not re.fullmatch(KEY_PATTERN, text):
        raise ValidationError({KEY_HEADER: ["The key is 1 to 64 characters of ASCII without spaces, a UUID say."]})
    user = getattr(request.user, "pk", None)
    if user is None:
        raise ValidationError({KEY_HEADER: ["A key is its user's own, and this login is nobody's on this site."]})
    asked = json.dumps([request.method, request.path, request.data], sort_keys=True)
    return RequestKey(f"{_digest(str(user))[:OWNER_DIGITS]}:{text}", _digest(asked))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


class DryRun:
    """Whether a request is to be rehearsed only, by `dry_run` in its query."""

    parameters: tuple[str, ...] = ("dry_run",)

    def __init__(self, request: Request) -> None:
        self.query = refuse_others(request, self.parameters)
        text = self.query.get("dry_run", "false")
        if text not in {"true", "false"}:
            raise ValidationError({"dry_run": ["This must be true or false."]})
        self.wanted = text == "true"


class Rehearsing(DryRun):
    """As `DryRun`, and from which place on."""

    parameters = ("dry_run", "cursor")

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.place = self._place(self.query.get("cursor"))

    def _place(self, cursor: str | None) -> Place | None:
        if cursor is None:
            return None
        if not self.wanted:  # who forgot the one of the two would send everything
            raise NotFound({"cursor": ["Only a rehearsal has pages: give dry_run=true as well."]})
        try:
            number, pk = signing.loads(cursor, salt=PLACE_SALT)
        except (signing.BadSignature, ValueError):
            raise NotFound({"cursor": ["There is no such page. Follow `next`, or leave the cursor out."]}) from None
        return number, pk

    @staticmethod
    def cursor(place: Place) -> str:
        """What `cursor` is for the calls from that place on."""
        return signing.dumps(list(place), salt=PLACE_SALT)
