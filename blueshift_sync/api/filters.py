"""The filters of each list. They are strict: whatever can't be understood is refused, never left out.

The same filters choose what a push sends, where a parameter left out would send far too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters.rest_framework as django_filters
from django import forms
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.db.models import Model, QuerySet
from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from ..models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from ..models.fields import EmailKeyField

RANGE = ["gte", "gt", "lte", "lt"]


def texts_of(parameters: QueryDict | Mapping[str, Any]) -> dict[str, str]:
    """Query parameters, or the same as a JSON object, as one text per name.

    Raises DRF's ValidationError, by name, for what has no value, several, or one that no filter can take.
    """
    texts: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for name in parameters:
        values = parameters.getlist(name) if isinstance(parameters, QueryDict) else [parameters[name]]
        try:
            texts[name] = _one_text(name, values)
        except ValueError as error:
            problems[name] = [str(error)]
    if problems:
        raise ValidationError(problems)
    return texts


def _one_text(name: str, values: list[Any]) -> str:
    if len(values) > 1:
        raise ValueError("This parameter is given more than once. Give it once.")
    value = values[0]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("The value must be text, a whole number, true or false.")  # noqa: TRY004
    if not value.strip():
        raise ValueError("The value is empty. Give one, or leave this parameter out.")
    if _printable(name + value) != name + value:
        raise ValueError("The value or its name contains characters that no database can hold.")
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
        # In the first and last years, the database's conversion to its time zone may leave the calendar.
        if moment is not None and not 1 < moment.year < 9999:
            raise DjangoValidationError(self.error_messages["invalid"], code="invalid")
        return moment


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
        return None if value is None else self.model_field.clean(value, None)


class TextFilter(django_filters.CharFilter):  # type: ignore[misc]
    """Compares all of the text, white space at its ends too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, strip=False, **options)


class EmailFilter(TextFilter):
    """Compares e-mail addresses without regard to case. For an `EmailKeyField`."""

    def filter(self, qs: QuerySet[Model], value: str) -> Any:
        return super().filter(qs, EmailKeyField.key_of(value))


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
    def filter_for_lookup(cls, field: models.Field[Any, Any], lookup_type: str) -> tuple[Any, dict[str, Any]]:
        if not field.choices:
            filter_class, options = super().filter_for_lookup(field, lookup_type)
            return filter_class, options
        choices = [(value, label) for value, label in field.flatchoices if value]
        allowed = ", ".join(str(value) for value, _label in choices)
        messages = {"invalid_choice": f"“%(value)s” isn't possible here. Use one of: {allowed}."}
        return django_filters.ChoiceFilter, {"choices": choices, "error_messages": messages}

    @classmethod
    def rows(
        cls, queryset: QuerySet[Any], parameters: QueryDict | Mapping[str, Any], *, others: tuple[str, ...] = ()
    ) -> QuerySet[Any]:
        """The rows that fit all `parameters`.

        Raises DRF's ValidationError that names each parameter that is unknown or has an impossible value.
        `others` are parameters with another meaning, which the message mentions too.
        """
        texts = texts_of(parameters)
        if unknown := texts.keys() - cls.base_filters.keys():
            raise ValidationError({name: [_unknown(name, [*cls.base_filters, *others])] for name in sorted(unknown)})
        filterset = cls(texts, queryset)
        if not filterset.is_valid():
            raise ValidationError({name: list(errors) for name, errors in filterset.errors.items()})
        rows: QuerySet[Any] = filterset.qs
        return rows


def _unknown(name: str, known: list[str]) -> str:
    return f"There is no parameter “{name}” here. Those that there are: {', '.join(known) or 'none'}."


class StrictFilterBackend(django_filters.DjangoFilterBackend):  # type: ignore[misc]
    """Filters lists by the view's `filterset_class`. Details take no parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        parameters = texts_of(request.query_params)
        if view.detail:
            if parameters:
                raise ValidationError({name: [_unknown(name, [])] for name in parameters})
            return queryset
        paging = view.paginator.parameters
        filters = {name: text for name, text in parameters.items() if name not in paging}
        rows: QuerySet[Any] = view.filterset_class.rows(queryset, filters, others=paging)
        return rows


RECORD_FILTERS: dict[str, list[str]] = {
    "state": ["exact"],
    "error_code": ["exact"],
    "run": ["exact"],
    "source_type": ["exact"],
    "source_id": ["exact"],
    "created_at": RANGE,
    "due_at": RANGE,
    "waiting_since": RANGE,
    "synced_at": RANGE,
}


class CustomerFilters(StrictFilterSet):
    email = EmailFilter(field_name="email_key")

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
            "error_code": ["exact"],
            "created_at": RANGE,
        }


class MembershipFilters(StrictFilterSet):
    class Meta:
        model = ListMembership
        fields = {
            "customer_list": ["exact"],
            "customer": ["exact"],
            "is_member": ["exact"],
            "synced_is_member": ["exact"],
            **RECORD_FILTERS,
        }


class RunFilters(StrictFilterSet):
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


class CallFilters(StrictFilterSet):
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


class ResultFilters(StrictFilterSet):
    run = ModelValueFilter(field_name="call__run", model_field=SyncRun._meta.pk)

    class Meta:
        model = RecordResult
        fields = {
            "call": ["exact"],
            "customer": ["exact"],
            "membership": ["exact"],
            "identifier": ["exact"],
            "outcome": ["exact"],
            "code": ["exact"],
        }
