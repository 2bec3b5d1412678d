"""The JSON type that each attribute was first sent as: Blueshift keeps to it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import ExactCharField


class AttributeType(models.Model):
    """An attribute that was sent. Deleting the row lets it have another type."""

    class JsonType(models.TextChoices):
        # Not translated: the labels are parts of messages, which are the same whoever saves an object.
        NUMBER = "number", "a number"
        TEXT = "text", "text"
        BOOLEAN = "boolean", "true or false"
        LIST = "list", "a list"
        OBJECT = "object", "an object"

    name = ExactCharField(_("attribute"), max_length=255, unique=True)
    json_type = models.CharField(_("sent as"), max_length=7, choices=JsonType)
    first_sent_at = models.DateTimeField(_("first sent at"), default=timezone.now)

    class Meta:
        verbose_name = _("attribute type")
        verbose_name_plural = _("attribute types")
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return str(self.name)


def json_type_of(value: Any) -> AttributeType.JsonType | None:
    """The type of a JSON value; None for null, which is none."""
    return _JSON_TYPES.get(type(value))


_JSON_TYPES: dict[type, AttributeType.JsonType] = {
    bool: AttributeType.JsonType.BOOLEAN,
    int: AttributeType.JsonType.NUMBER,
    float: AttributeType.JsonType.NUMBER,
    str: AttributeType.JsonType.TEXT,
    list: AttributeType.JsonType.LIST,
    dict: AttributeType.JsonType.OBJECT,
}
