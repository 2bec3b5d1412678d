"""Attributes that lead to files whose address is another one each time: signed by the storage, and soon out of date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import FileField

from .base import CustomerSource
from .inspection import Flaw, WrongPath, end_of_getter
from .registry import all_sources
from .values import is_sent_as_address


def signed_files() -> Iterator[Flaw]:
    """The attributes of every registered source that lead to such a file."""
    for source in all_sources():
        if isinstance(source, CustomerSource) and isinstance(source.attributes, Mapping):
            for name, getter in source.attributes.items():
                if isinstance(getter, str) and _is_signed(_field_of(source, getter)):
                    yield Flaw(
                        f"{type(source).__name__}, the source of {source.model._meta.label}: {name}, the path "
                        f"'{getter}', leads to a file whose storage signs its address. It is another one at each "
                        "reading, so that each save is sent, and it expires.",
                        "Send what lasts: let the path go on to the file's name, or use to_json.register(FieldFile).",
                    )


def _field_of(source: CustomerSource, getter: str) -> Any:
    try:
        end = end_of_getter(source, getter)
    except WrongPath:
        return None
    return end.field if end is not None else None


def _is_signed(field: Any) -> bool:
    """As the storages of django-storages say it: S3 and Google's by `querystring_auth`, Azure by `expiration_secs`."""
    if not isinstance(field, FileField) or not is_sent_as_address(field.attr_class):
        return False
    storage: Any = field.storage
    try:
        is_public = getattr(storage, "custom_domain", None) and not getattr(storage, "cloudfront_signer", None)
        return bool(getattr(storage, "querystring_auth", False) and not is_public) or bool(
            getattr(storage, "expiration_secs", None)
        )
    except Exception:  # noqa: BLE001 - a storage that can't be set up is the site's to see to
        return False
