"""The form for customers that were made by hand: what a source would have checked is checked here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext as _

from ..client.limits import RESERVED_PREFIXES
from ..exceptions import ValueNotSendable
from ..models import Customer
from ..sources import to_json
from ..sources.values import check_size

if TYPE_CHECKING:
    CustomerModelForm = forms.ModelForm[Customer]
else:
    CustomerModelForm = forms.ModelForm

STANDARD_FIELDS = ("customer_id", "email", "uuid", "firstname", "lastname", "subscription_groups")


class IndentedJSON(json.JSONEncoder):
    """Shows JSON in a text box on several lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


class CarefulJSONField(forms.JSONField):
    """Takes whatever is written: what Python's parser or a page's encoding can't bear is an error of the field."""

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (ValueError, RecursionError):
            raise ValidationError(self.error_messages["invalid"], code="invalid", params={"value": "…"}) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        text = super().prepare_value(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, indent=2)
        return text


class CustomerForm(CustomerModelForm):
    class Meta:
        field_classes = {"attributes": CarefulJSONField, "subscription_groups": CarefulJSONField}

    def clean_attributes(self) -> dict[str, Any]:
        attributes = self.cleaned_data["attributes"]
        if attributes is None:
            return {}
        if not isinstance(attributes, dict):
            raise ValidationError(_('Write a JSON object with the attributes by name, like {"plan": "gold"}.'))
        if taken := [name for name in STANDARD_FIELDS if name in attributes]:
            text = _("These have a field of their own; take them out of the attributes: %(names)s.")
            raise ValidationError(text % {"names": ", ".join(taken)})
        if reserved := [name for name in attributes if not name or name.startswith(RESERVED_PREFIXES)]:
            text = _("Blueshift keeps these names for itself; take them out: %(names)s.")
            raise ValidationError(text % {"names": ", ".join(f"“{name}”" for name in reserved)})
        _check_sendable(attributes)
        return attributes

    def clean_subscription_groups(self) -> list[dict[str, Any]]:
        groups = self.cleaned_data["subscription_groups"]
        if groups is None:
            return []
        if not isinstance(groups, list) or not all(map(_is_subscription_group, groups)):
            raise ValidationError(
                _('Write a JSON list with one {"id": "…", "subscribed": true or false} for each group.')
            )
        _check_sendable(groups)
        return groups

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned is not None and not cleaned.get("customer_id") and not cleaned.get("email"):
            raise ValidationError(_("Give a customer ID or an e-mail address: Blueshift needs one of them."))
        return cleaned


def _is_subscription_group(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == {"id", "subscribed"}
        and isinstance(entry["id"], str)
        and bool(entry["id"])
        and isinstance(entry["subscribed"], bool)
    )


def _check_sendable(value: Any) -> None:
    try:
        check_size(value)
        to_json(value)
    except ValueNotSendable as error:
        raise ValidationError(_("This can't be sent: %(reason)s.") % {"reason": error}) from error
