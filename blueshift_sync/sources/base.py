"""What a site writes in its `blueshift.py`: how one of its models becomes customers or list memberships."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from django.db.models import CompositePrimaryKey, Model, QuerySet

from .paths import read_path
from .relations import installed_model, key_in, key_parts

#: How a value is found: the name of a method of the source, a field path, or a function of the object.
Getter = str | Callable[[Any], Any]


class Source:
    """What both kinds have in common. Registered with `@register(Model)`, which sets `model`."""

    model: type[Model]
    #: Related models and the path from one of their objects to this source's objects, such as {Order: "user"}.
    watch: ClassVar[Mapping[type[Model] | str, str]] = {}

    @property
    def label(self) -> str:
        """The model's name as it is stored beside mirrored rows, `app_label.modelname`."""
        return self.model._meta.label_lower

    def watched(self) -> Iterator[tuple[type[Model], str]]:
        """What `watch` says, but for what the system checks complain of: what has no path, or no installed model."""
        for model_or_name, path in self.watch.items() if isinstance(self.watch, Mapping) else ():
            model = installed_model(model_or_name)
            if model is not None and isinstance(path, str):
                yield model, path

    def key_of(self, obj: Any) -> Any:
        """The primary key under which this source's model has `obj`, in the type that the database gives it.

        An object in memory may hold it as text, and a child of the model may have another key of its own.
        """
        return key_in(self.model, obj)

    def key_from_text(self, text: str) -> Any:
        """The primary key that is stored as `text` beside mirrored rows."""
        field: Any = self.model._meta.pk
        if isinstance(field, CompositePrimaryKey):
            return tuple(part.to_python(value) for part, value in zip(key_parts(field), json.loads(text), strict=True))
        return field.to_python(text)

    def get_queryset(self) -> QuerySet[Any]:
        """The objects of a backfill; the place for `select_related` and `prefetch_related`."""
        return self.model._default_manager.all()

    def include(self, obj: Any) -> bool:
        """Whether `obj` belongs in Blueshift."""
        return True

    def read(self, obj: Any, getter: Getter) -> Any:
        """What `getter` finds on `obj`."""
        if callable(getter):
            return getter(obj)
        if self.is_method(getter):
            return getattr(self, getter)(obj)
        return read_path(obj, getter)

    def path_of(self, name: str) -> str | None:
        """The field path that a mapped field is read by, if it is read by one."""
        getter = getattr(type(self), name, None)
        if hasattr(self, f"get_{name}") or not isinstance(getter, str) or self.is_method(getter):
            return None
        return getter

    def is_method(self, name: str) -> bool:
        """Whether the site wrote a method of this name. What every source has may be a field of the model as well."""
        return callable(getattr(type(self), name, None)) and not any(
            hasattr(base, name) for base in (Source, CustomerSource, MembershipSource)
        )

    def read_field(self, obj: Any, name: str) -> Any:
        """The value of a mapped field: from `get_<name>` where the source has it, else as the field says."""
        method = getattr(self, f"get_{name}", None)
        if method is not None:
            return method(obj)
        getter = getattr(type(self), name)  # off the class: a function there isn't a method of the source
        return None if getter is None else self.read(obj, getter)


class CustomerSource(Source):
    """Maps a model's objects to customers.

    Each field is a path, the name of a method of the source, or a function; `get_<field>` works as well.
    `attributes` maps Blueshift's attribute names to the same. A value of None is left out of what is sent, so
    Blueshift keeps what it had, unless `send_null` names the attribute.
    """

    customer_id: Getter | None = None
    email: Getter | None = None
    uuid: Getter | None = None
    firstname: Getter | None = None
    lastname: Getter | None = None
    attributes: ClassVar[Mapping[str, Getter]] = {}
    send_null: ClassVar[set[str]] = set()

    def get_subscription_groups(self, obj: Any) -> Mapping[str, bool]:
        """Subscription group IDs and whether the customer is subscribed to each."""
        return {}


class MembershipSource(Source):
    """Maps a model's objects to list memberships: an included object puts its customer on the list.

    `customer` leads to the object that a CustomerSource mirrors. `list_id` is the list's number, a path, or a
    function; `get_list_id` works as well.
    """

    customer: Getter
    list_id: int | Getter | None = None

    def read_list_id(self, obj: Any) -> Any:
        """The number of the list that `obj` speaks of, or None."""
        if isinstance(self.list_id, int):
            return self.list_id
        return self.read_field(obj, "list_id")
