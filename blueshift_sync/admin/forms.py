"""The form for customers that were made by hand: what a source would have checked is checked here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ..exceptions import ValueNotSendable
from ..models import Customer
from ..sources import to_json

if TYPE_CHECKING:
    CustomerModelForm = forms.ModelForm[Customer]
else:
    CustomerModelForm = forms.ModelForm

STANDARD_FIELDS = ("customer_id", "email", "uuid", "firstname", "lastname", "subscription_groups")


class IndentedJSON(json.JSONEncoder):
    """Shows JSON in a text box on several lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


class CustomerForm(CustomerModelForm):
    def clean_attributes(self) -> dict[str, Any]:
        attributes = self.cleaned_data["attributes"]
        if attributes is None:
            return {}
        if not isinstance(attributes, dict):
            raise ValidationError(_('Write a JSON object with the attributes by name, like {"plan": "gold"}.'))
        if taken := [name for name in STANDARD_FIELDS if name in attributes]:
            text = _("These have a field of their own; take them out of the attributes: %(names)s.")
            raise ValidationError(text % {"names": ", ".join(taken)})
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
        to_json(value)
    except ValueNotSendable as error:
        raise ValidationError(_("This can't be sent: %(reason)s.") % {"reason": error}) from error
