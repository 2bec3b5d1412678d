"""The filters of each list. They are strict: whatever can't be understood is refused, never left out.

The same filters choose what a push sends, where a parameter left out would send far too much.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import django_filters.rest_framework as django_filters
from django import forms
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.timezone import is_naive, make_naive
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request

from ..models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from ..models.fields import EmailKeyField
from ..sources.registry import all_sources
from .permissions import may_view, view_permission

RANGE = ["gte", "gt", "lte", "lt"]


def texts_of(query: QueryDict) -> dict[str, str]:
    """The query's parameters, one text per name. Raises DRF's ValidationError for what has no value, or several."""

    def one_text(name: str) -> str:
        values = query.getlist(name)
        if len(values) > 1:
            raise ValueError("This parameter is given more than once. Give it once.")
        return checked_text(name, str(values[0]))

    return _each(query, one_text)


def _each(names: Iterable[str], text_of: Callable[[str], str]) -> dict[str, str]:
    """The text of each name. Raises DRF's ValidationError that has the ValueErrors of all of them."""
    texts: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for name in names:
        try:
            texts[name] = text_of(name)
        except ValueError as error:
            problems[name] = [str(error)]
    if problems:
        raise ValidationError(problems)
    return texts


#: What is more than nothing, as JSON Schema has it too.
MORE_THAN_BLANKS = r"[^\u0000-\u0020]"
TEXT_PATTERN = rf"^[^\u0000]*{MORE_THAN_BLANKS}[^\u0000]*$"


def checked_text(name: str, value: str) -> str:
    """The value. Raises ValueError for one that is empty, or that no database can hold."""
    if _printable(name + value) != name + value:
        raise ValueError("The value or its name contains characters that no database can hold.")
    if not re.search(MORE_THAN_BLANKS, value):
        raise ValueError("The value is empty. Give one, or leave this parameter out.")
    return value


def _printable(text: str) -> str:
    """The text without NUL and half surrogate pairs, neither of which a database takes."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


class MomentField(django_filters.IsoDateTimeFilter.field_class):  # type: ignore[misc]
    """A date and time in ISO 8601; without an offset in the site's time zone, without a time at midnight."""

    default_error_messages: dict[str, Any] = {
        "invalid": "This isn't a time. Write it in ISO 8601, as in 2026-01-31T12:00:00Z; a + must be sent as %2B."
    }

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        if moment is None:
            return None
        # In the first and last years, the database's conversion to its time zone may leave the calendar. Nothing
        # happened then, so another moment at that end finds the same.
        if not 1000 <= moment.year <= 9000:
            moment = datetime(1000 if moment.year < 1000 else 9000, 1, 1, tzinfo=UTC)
        # A site without time zones has local times in its database.
        return moment if settings.USE_TZ or is_naive(moment) else make_naive(moment)


class TrueOrFalseField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        if value is None:
            return None
        if value not in {"true", "false"}:
            raise DjangoValidationError("This must be true or false.", code="invalid")
        return bool(value == "true")


class ModelValueField(forms.Field):
    """A value as a model's field takes it, its type and range included."""

    def __init__(self, *, model_field: models.Field[Any, Any], **options: Any) -> None:
        super().__init__(**options)
        self.model_field = model_field

    def to_python(self, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(self.model_field, models.IntegerField) and not re.fullmatch("-?[0-9]{1,20}", value):
            raise DjangoValidationError("This must be a whole number.", code="invalid")
        return self.model_field.clean(value, None)


def source_types() -> list[str]:
    """The models that have a source, as rows name them."""
    return list(dict.fromkeys(source.label for source in all_sources()))


class SourceTypeField(forms.CharField):
    """The label of a model of the site, in any case."""

    def to_python(self, value: Any) -> Any:
        label = str(super().to_python(value) or "").lower()
        try:
            return apps.get_model(label)._meta.label_lower if label else None
        except (LookupError, ValueError):
            known = ", ".join(source_types()) or "none"
            raise DjangoValidationError(
                f"There is no model “{value}” on this site. Those that have a source: {known}.", code="invalid"
            ) from None


class TextFilter(django_filters.CharFilter):  # type: ignore[misc]
    """Compares all of the text, white space at its ends too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"lookup_expr": "exact", "strip": False, **options})


class EmailFilter(TextFilter):
    """Compares e-mail addresses without regard to case. For an `EmailKeyField`."""

    def condition(self, value: str) -> Q:
        key = EmailKeyField.key_of(value)
        # Blanks of other alphabets are nobody's address, though the key of all who have none is empty.
        return Q(**{self.field_name: key}) if key else Q(pk__in=[])


class SourceTypeFilter(django_filters.CharFilter):  # type: ignore[misc]
    field_class = SourceTypeField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"lookup_expr": "exact", **options})


class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    field_class = MomentField


class TrueOrFalseFilter(django_filters.BooleanFilter):  # type: ignore[misc]
    """Unlike its base class, which takes any other word for no filter at all."""

    field_class = TrueOrFalseField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, widget=forms.TextInput, **options)


class ModelValueFilter(django_filters.Filter):  # type: ignore[misc]
    """For numbers and for primary keys of other rows: these are typed in, as a list of them would be huge."""

    field_class = ModelValueField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"lookup_expr": "exact", **options})


class MembersFilter(ModelValueFilter):
    """The customers who should be on a list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(field_name="memberships__customer_list", model_field=CustomerList._meta.pk, **options)

    def condition(self, value: int) -> Q:
        return Q(memberships__customer_list=value, memberships__is_member=True)


def condition_of(filter_: Any, value: Any) -> Q:
    """What a filter asks of a row. It has a JSON form, so that a run can keep it."""
    if hasattr(filter_, "condition"):
        condition: Q = filter_.condition(value)
        return condition
    return Q(**{f"{filter_.field_name}__{filter_.lookup_expr}": value})


def json_type_of(filter_: Any) -> type[str | int | bool]:
    """What a filter's value is in JSON."""
    if isinstance(filter_, TrueOrFalseFilter):
        return bool
    if isinstance(filter_, ModelValueFilter) and isinstance(filter_.extra["model_field"], models.IntegerField):
        return int
    return str


def whole(value: Any) -> Any:
    """A value of JSON, which knows no other numbers than 1.0: that one as the whole number that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


TYPE_NAMES: dict[type[str | int | bool], str] = {str: "text", int: "a whole number", bool: "true or false"}


class StrictFilterSet(django_filters.FilterSet):  # type: ignore[misc]
    FILTER_DEFAULTS: dict[Any, Any] = {
        models.CharField: {"filter_class": TextFilter},
        models.BooleanField: {"filter_class": TrueOrFalseFilter},
        models.DateTimeField: {"filter_class": MomentFilter},
        models.IntegerField: {
            "filter_class": ModelValueFilter,
            "extra": lambda field: {"model_field": field},
        },
        models.ForeignKey: {
            "filter_class": ModelValueFilter,
            "extra": lambda field: {"model_field": field.target_field},
        },
    }

    @classmethod
    def get_filter_name(cls, field_name: str, lookup_expr: str) -> str:
        """As django-filter does it, whatever the site's FILTERS_DEFAULT_LOOKUP_EXPR is."""
        return field_name if lookup_expr == "exact" else f"{field_name}__{lookup_expr}"

    @classmethod
    def filter_for_lookup(cls, field: models.Field[Any, Any], lookup_type: str) -> tuple[Any, dict[str, Any]]:
        if not field.choices:
            filter_class, options = super().filter_for_lookup(field, lookup_type)
            return filter_class, options
        choices = [(value, label) for value, label in field.flatchoices if value]
        allowed = ", ".join(str(value) for value, _label in choices)
        messages = {"invalid_choice": f"“%(value)s” isn't possible here. Use one of: {allowed}."}
        return django_filters.ChoiceFilter, {"choices": choices, "error_messages": messages, "null_label": None}

    @classmethod
    def where_json(cls, values: Mapping[str, Any]) -> Q:
        """As `where`, for values as JSON has them."""

        def text_of(name: str) -> str:
            value = whole(values[name])
            expected = json_type_of(cls.base_filters[name]) if name in cls.base_filters else type(value)
            if type(value) is not expected:
                raise ValueError(f"The value must be {TYPE_NAMES[expected]}.")
            return checked_text(name, value if isinstance(value, str) else str(value).lower())

        return cls.where(_each(values, text_of))

    @classmethod
    def where(cls, texts: Mapping[str, str], *, others: tuple[str, ...] = ()) -> Q:
        """What rows fulfil that fit all of these parameters.

        Raises DRF's ValidationError that names each parameter that is unknown or has an impossible value.
        `others` are parameters with another meaning, which the message mentions too.
        """
        if unknown := texts.keys() - cls.base_filters.keys():
            raise ValidationError({name: [_unknown(name, [*cls.base_filters, *others])] for name in sorted(unknown)})
        filterset = cls(texts, cls.Meta.model._default_manager.none())
        if not filterset.is_valid():
            raise ValidationError({name: list(errors) for name, errors in filterset.errors.items()})
        given = {name: value for name, value in filterset.form.cleaned_data.items() if name in texts}
        return cls.condition(given)

    @classmethod
    def models_looked_at(cls, name: str) -> set[type[models.Model]]:
        """The models, beside its own, whose rows the filter of this name looks at."""
        return set(_models_on(cls.base_filters[name].field_name, cls.Meta.model))

    @classmethod
    def condition(cls, values: Mapping[str, Any]) -> Q:
        """What rows fulfil that have these values, each by the name of its filter."""
        where = Q()
        for name, value in values.items():
            where &= condition_of(cls.base_filters[name], value)
        return where


def _models_on(path: str, model: Any) -> Iterator[type[models.Model]]:
    """The models that a field path leads through, after the one where it starts."""
    for relation in path.split("__")[:-1]:
        model = model._meta.get_field(relation).related_model
        yield model


def require_to_look(user: Any, filterset: type[StrictFilterSet], names: Iterable[str]) -> None:
    """Raises PermissionDenied where a filter would tell of rows that the user may not view."""
    for name in names:
        for model in filterset.models_looked_at(name) if name in filterset.base_filters else ():
            if not may_view(user, model):
                raise PermissionDenied(
                    f"Your user needs the permission {view_permission(model)} to choose rows by “{name}”."
                )


def _unknown(name: str, known: list[str]) -> str:
    return f"There is no parameter “{name}” here. Those that there are: {', '.join(known) or 'none'}."


class StrictFilterBackend(django_filters.DjangoFilterBackend):  # type: ignore[misc]
    """Filters lists by the view's `filterset_class`. Details take no parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if view.detail or view.own_parameters:
            refuse_others(request, view.own_parameters)
            return queryset
        paging = view.paginator.parameters
        parameters = texts_of(request.query_params)
        filters = {name: text for name, text in parameters.items() if name not in paging}
        require_to_look(request.user, view.filterset_class, filters)
        return queryset.filter(view.filterset_class.where(filters, others=paging))


def refuse_others(request: Request, known: Sequence[str]) -> dict[str, str]:
    """The query's parameters. Raises DRF's ValidationError that names those that aren't among the known ones."""
    parameters = texts_of(request.query_params)
    if unknown := sorted(parameters.keys() - set(known)):
        raise ValidationError({name: [_unknown(name, list(known))] for name in unknown})
    return parameters


SOURCE_FILTERS = ("source_type", "source_id")
#: Ways to say which customer is meant.
CUSTOMER_FILTERS = ("customer", *(f"customer__{name}" for name in ("customer_id", "email", *SOURCE_FILTERS)))


class OfCustomers(StrictFilterSet):
    """For rows with a `customer`: which one, by its row, by what Blueshift knows it by, or by the site's own object."""

    customer = ModelValueFilter(model_field=Customer._meta.pk)
    customer__customer_id = TextFilter()
    customer__email = EmailFilter(field_name="customer__email_key")
    customer__source_type = SourceTypeFilter()
    customer__source_id = TextFilter()

    class Meta:
        model = RecordResult
        fields: dict[str, list[str]] = {}


RECORD_FILTERS: dict[str, list[str]] = {
    "state": ["exact"],
    "error_code": ["exact"],
    "run": ["exact"],
    "source_id": ["exact"],
    "created_at": RANGE,
    "due_at": RANGE,
    "waiting_since": RANGE,
    "synced_at": RANGE,
}


class CustomerFilters(StrictFilterSet):
    email = EmailFilter(field_name="email_key")
    source_type = SourceTypeFilter()
    customer_list = MembersFilter()

    class Meta:
        model = Customer
        fields = {"customer_id": ["exact"], "uuid": ["exact"], **RECORD_FILTERS}


class ListFilters(StrictFilterSet):
    class Meta:
        model = CustomerList
        fields = {
            "list_id": ["exact"],
            "name": ["exact"],
            "identifier_key": ["exact"],
            "status": ["exact"],
            "mode": ["exact"],
            "is_ready": ["exact"],
            "error_code": ["exact"],
            "created_at": RANGE,
        }


class MembershipFilters(OfCustomers):
    source_type = SourceTypeFilter()

    class Meta:
        model = ListMembership
        fields = {
            "customer_list": ["exact"],
            "is_member": ["exact"],
            "synced_is_member": ["exact"],
            **RECORD_FILTERS,
        }


class ByResults(OfCustomers):
    """For rows that are about a customer by their results only."""

    @classmethod
    def condition(cls, values: Mapping[str, Any]) -> Q:
        # All of them about one and the same customer.
        of_customer = {name: value for name, value in values.items() if name in CUSTOMER_FILTERS}
        where = super().condition({name: value for name, value in values.items() if name not in of_customer})
        if of_customer:
            where &= cls.with_results(RecordResult.objects.filter(super().condition(of_customer)).order_by())
        return where

    @classmethod
    def models_looked_at(cls, name: str) -> set[type[models.Model]]:
        if name not in CUSTOMER_FILTERS:
            return super().models_looked_at(name)
        return {RecordResult, *_models_on(cls.base_filters[name].field_name, RecordResult)}

    @classmethod
    @abstractmethod
    def with_results(cls, results: QuerySet[RecordResult]) -> Q:
        """What the rows fulfil that have one of these results."""


class RunFilters(ByResults):
    customer_list = ModelValueFilter(field_name="calls__customer_list", model_field=CustomerList._meta.pk)

    @classmethod
    def condition(cls, values: Mapping[str, Any]) -> Q:
        others = dict(values)
        customer_list = others.pop("customer_list", None)
        where = super().condition(others)
        if customer_list is not None:
            of_list = ApiCall.objects.filter(customer_list=customer_list, run__isnull=False).order_by()
            where &= Q(pk__in=of_list.values("run"))
        return where

    @classmethod
    def with_results(cls, results: QuerySet[RecordResult]) -> Q:
        return Q(pk__in=results.filter(call__run__isnull=False).values("call__run"))

    class Meta:
        model = SyncRun
        fields = {
            "kind": ["exact"],
            "trigger": ["exact"],
            "state": ["exact"],
            "requested_by": ["exact"],
            "retry_of": ["exact"],
            "created_at": RANGE,
            "started_at": RANGE,
            "finished_at": RANGE,
        }


class CallFilters(ByResults):
    @classmethod
    def with_results(cls, results: QuerySet[RecordResult]) -> Q:
        return Q(pk__in=results.values("call"))

    class Meta:
        model = ApiCall
        fields = {
            "run": ["exact"],
            "customer_list": ["exact"],
            "endpoint": ["exact"],
            "state": ["exact"],
            "status_code": ["exact", *RANGE],
            "request_id": ["exact"],
            "error_code": ["exact"],
            "job_id": ["exact"],
            "attempt": ["exact"],
            "started_at": RANGE,
        }


class ResultFilters(OfCustomers):
    run = ModelValueFilter(field_name="call__run", model_field=SyncRun._meta.pk)
    customer_list = ModelValueFilter(field_name="call__customer_list", model_field=CustomerList._meta.pk)

    class Meta:
        model = RecordResult
        fields = {
            "call": ["exact"],
            "membership": ["exact"],
            "identifier": ["exact"],
            "call__started_at": RANGE,
            "outcome": ["exact"],
            "code": ["exact"],
        }

    @classmethod
    def models_looked_at(cls, name: str) -> set[type[models.Model]]:
        # A result keeps what a customer was known by.
        return super().models_looked_at(name) | ({Customer} if name == "identifier" else set())
