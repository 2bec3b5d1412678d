"""Mistakes in sources that can be seen without an object: told by the system checks, with source and path."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import models
from django.db.models import CompositePrimaryKey, Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import ModelIterable

from ..client.limits import RESERVED_PREFIXES
from ..models import AttributeType
from .base import CustomerSource, MembershipSource, Source
from .readings import LONGEST
from .registry import all_sources, customer_source_of, missing_models
from .relations import are_kin, concrete_of, installed_model, name_of, relation_called, relation_steps, shares_key

JsonType = AttributeType.JsonType
#: Blueshift's own attributes, and the type that it wants them to be.
STANDARD_TYPES = {
    "phone_number": JsonType.TEXT,
    "gender": JsonType.TEXT,
    "joined_at": JsonType.TEXT,
    "unsubscribed": JsonType.BOOLEAN,
    "unsubscribed_push": JsonType.BOOLEAN,
    "unsubscribed_sms": JsonType.BOOLEAN,
    "unsubscribed_inapp": JsonType.BOOLEAN,
    "birth_year": JsonType.NUMBER,
    "birth_month": JsonType.NUMBER,
    "birth_dayofmonth": JsonType.NUMBER,
}
NEVER_NULL = {"gender", "joined_at"} | {name for name, of in STANDARD_TYPES.items() if of == JsonType.BOOLEAN}
#: What Django's own fields hold in Python, and what that is sent as.
FIELD_TYPES: tuple[tuple[type[models.Field[Any, Any]], type, JsonType], ...] = (
    (models.BooleanField, bool, JsonType.BOOLEAN),
    (models.IntegerField, int, JsonType.NUMBER),
    (models.FloatField, float, JsonType.NUMBER),
    (models.CharField, str, JsonType.TEXT),
    (models.TextField, str, JsonType.TEXT),
)
#: What the fields of every customer can't be made of.
NEVER_AN_IDENTITY = (models.BooleanField, CompositePrimaryKey)


class Flaw(NamedTuple):
    """One mistake: what is wrong, and how to mend it."""

    message: str
    hint: str


class WrongPath(Exception):  # noqa: N818 - internal
    """A path that leads nowhere."""


@dataclass(frozen=True)
class End:
    """What a path leads to, as far as it can be told: a field, or another model's object or objects."""

    field: Any = None
    model: type[Model] | None = None
    is_many: bool = False

    @property
    def name(self) -> str:
        if self.model is not None:
            return f"many {self.model.__name__} objects" if self.is_many else f"a {self.model.__name__} object"
        return f"a {type(self.field).__name__}"


def flaws() -> Iterator[Flaw]:
    """Every mistake in every registered source."""
    tables: dict[type[Model], CustomerSource] = {}
    for source in all_sources():
        if isinstance(source, CustomerSource):
            other = tables.setdefault(concrete_of(source.model), source)
            if other is not source:
                yield _two_sources(other, source)
        for message, hint in flaws_of(source):
            yield Flaw(f"{type(source).__name__}, the source of {source.model._meta.label}: {message}", hint)


def missing() -> Iterator[Flaw]:
    """Models that sources name, and that aren't installed."""
    for source_class, name in missing_models():
        yield _not_installed(source_class, name)
    for source in all_sources():
        for model_or_name in (source.model, *(source.watch if isinstance(source.watch, Mapping) else ())):
            if installed_model(model_or_name) is None:
                yield _not_installed(type(source), name_of(model_or_name))


def _not_installed(source_class: type[Source], name: str) -> Flaw:
    return Flaw(
        f"{source_class.__name__} names the model {name}, which isn't installed.",
        "Add its app to INSTALLED_APPS, correct the name (it is written as 'app_label.Model'), or take it out.",
    )


def _two_sources(one: Source, other: Source) -> Flaw:
    return Flaw(
        f"{type(one).__name__}, the source of {one.model._meta.label}, and {type(other).__name__}, that of "
        f"{other.model._meta.label}, mirror the same rows: each would be two customers.",
        "Keep one of them; its include() may say which rows are customers.",
    )


def flaws_of(source: Source) -> Iterator[Flaw]:
    """Every mistake in this source, which needn't be registered."""
    wrong = list(_flaws_of_shape(source))
    yield from wrong
    if wrong:
        return
    if source.model._meta.swapped:
        yield Flaw(
            f"this site has {source.model._meta.swapped} in its place, so there are no such objects.",
            f"Register {source.model._meta.swapped}; for users, settings.AUTH_USER_MODEL is its name.",
        )
    yield from _flaws_of_queryset(source)
    if isinstance(source, CustomerSource):
        yield from _flaws_of_identity(source)
        yield from _flaws_of_attributes(source)
        yield from _flaws_of_nulls(source)
    if isinstance(source, MembershipSource):
        yield from _flaws_of_customer(source)
        yield from _flaws_of_list(source)
    yield from _flaws_of_watch(source)


def _flaws_of_shape(source: Source) -> Iterator[Flaw]:
    """Names in the source's body that aren't what everything else takes them for."""
    for name in ("attributes", "watch"):
        if not isinstance(getattr(source, name, {}), Mapping):
            yield Flaw(f"{name} must be a dictionary.", f"Write {name} = {{…: …}} in the source.")
    names = getattr(source, "send_null", ())
    if not isinstance(names, str | set | frozenset | list | tuple) or not all(isinstance(name, str) for name in names):
        yield Flaw("send_null must be a set of names.", 'Write send_null = {"plan"}, say.')
    yield from _flaws_of_methods(source)


def _flaws_of_methods(source: Source) -> Iterator[Flaw]:
    """Methods that can't be called as they are going to be: with the object, and `get_queryset` with nothing."""
    for name in ("get_queryset", "include", *(f"get_{name}" for name in _mapped_names(source))):
        method = getattr(source, name, None)
        if method is None and not hasattr(source, name):
            continue
        arguments = [] if name == "get_queryset" else [None]
        takes = "self" if name == "get_queryset" else "self, obj"
        if not callable(method):
            yield Flaw(f"{name} is {method!r}, and must be a method.", f"Write def {name}({takes}) in the source.")
        elif not _takes(method, *arguments):
            yield Flaw(
                f"the method {name} can't be called with {'the object alone' if arguments else 'nothing'}.",
                f"Write it as def {name}({takes}).",
            )
        elif inspect.iscoroutinefunction(method):
            yield _asynchronous(f"the method {name}")


def _asynchronous(what: str) -> Flaw:
    return Flaw(f"{what} is asynchronous, and nobody awaits what it returns.", "Write it with def, not with async def.")


def _flaws_of_queryset(source: Source) -> Iterator[Flaw]:
    """What `get_queryset` gives must be whole objects of the model, in a queryset that can be filtered further."""
    try:
        found: Any = source.get_queryset()
    except Exception:  # noqa: BLE001 - the site's code, which may need more than there is now
        return
    if isinstance(found, BaseManager):
        found = found.all()
    if not isinstance(found, QuerySet):
        complaint = f"gives {'nothing' if found is None else f'a {type(found).__name__}'}, and must give a queryset."
    elif not _are_objects_of(source.model, found.model):
        complaint = f"gives {found.model._meta.label} objects, and must give those of {source.model._meta.label}."
    elif not issubclass(found._iterable_class, ModelIterable):
        complaint = "gives values, and must give whole objects."
    elif found.query.is_sliced or found.query.combinator:
        complaint = "gives a slice or a union, of which nobody can ask for single objects."
    else:
        return
    model = source.model.__name__
    yield Flaw(
        f"the method get_queryset {complaint}",
        f"Write return {model}.objects.select_related(…), say. Which objects are sent is for include() to tell.",
    )


def _are_objects_of(model: type[Model], found: type[Model]) -> bool:
    return issubclass(concrete_of(found), concrete_of(model)) and shares_key(found, model)


def _mapped_names(source: Source) -> list[str]:
    """The names for which a method `get_<name>` is asked."""
    return [*LONGEST, "subscription_groups"] if isinstance(source, CustomerSource) else ["customer", "list_id"]


# Customers


def _flaws_of_identity(source: CustomerSource) -> Iterator[Flaw]:
    for name in LONGEST:
        yield from _flaws_of_value(source, name, getattr(type(source), name))
    if not any(_is_mapped(source, name) for name in ("customer_id", "email")):
        yield Flaw(
            "it has neither customer_id nor email, and Blueshift needs one of them to know a customer.",
            'Write customer_id = "pk", say, or email = "email".',
        )


def _flaws_of_attributes(source: CustomerSource) -> Iterator[Flaw]:
    for name, getter in source.attributes.items():
        complaint = _complaint_about_name(name)
        if complaint:
            yield complaint
        else:
            yield from _flaws_of_value(source, name, getter)


def _complaint_about_name(name: Any) -> Flaw | None:
    if not isinstance(name, str) or not name:
        return Flaw(f"the attribute {name!r} has no name.", "An attribute's name is text, and not empty.")
    if not name.isprintable():
        return Flaw(f"the attribute {name!r} has characters in its name that can't be sent.", "Use plain letters.")
    if name.startswith(RESERVED_PREFIXES):
        return Flaw(
            f"the attribute '{name}' begins with 'bsft_' or '_bsft_', which are Blueshift's own.",
            "Give it another name.",
        )
    if name in LONGEST:
        return Flaw(f"'{name}' is a field of every customer, and no attribute.", f"Write {name} = … in the source.")
    if name == "subscription_groups":
        return Flaw(f"'{name}' is no attribute.", "Write a method get_subscription_groups(self, obj).")
    return None


def _flaws_of_nulls(source: CustomerSource) -> Iterator[Flaw]:
    names: Any = source.send_null
    if isinstance(names, str):
        yield Flaw("send_null is text, and must be a set of names.", f"Write send_null = {{{names!r}}}.")
        return
    for name in sorted(names):
        if name not in source.attributes and not (name in LONGEST and _is_mapped(source, name)):
            yield Flaw(f"send_null names '{name}', which the source doesn't map.", "Correct the name, or take it out.")
        elif name in NEVER_NULL:
            yield Flaw(f"send_null names '{name}', of which Blueshift takes no null.", "Take it out.")


def _is_mapped(source: Source, name: str) -> bool:
    return getattr(type(source), name, None) is not None or hasattr(source, f"get_{name}")


# Memberships


def _flaws_of_customer(source: MembershipSource) -> Iterator[Flaw]:
    if not _is_mapped(source, "customer"):
        yield Flaw(
            "it doesn't say whose membership an object is.",
            'Write customer = "user", say: the path to the object that a CustomerSource mirrors.',
        )
        return
    path = source.path_of("customer")
    try:
        end = end_of_getter(source, getattr(type(source), "customer", None)) if path else None
    except WrongPath as error:
        yield _flaw_of_path("customer", path, error)
        return
    if end is None:
        return
    if end.model is None or end.is_many:
        yield Flaw(f"customer, the path '{path}', leads to {end.name}.", "It must lead to one object of a model.")
    elif customer_source_of(end.model) is None:
        yield Flaw(
            f"customer, the path '{path}', leads to {end.name}, and no CustomerSource is registered for "
            f"{end.model._meta.label}.",
            f"Register one for {end.model._meta.label}, or name the path to an object that has one.",
        )


def _flaws_of_list(source: MembershipSource) -> Iterator[Flaw]:
    list_id = type(source).list_id
    if not _is_mapped(source, "list_id"):
        yield Flaw(
            "it doesn't say which list it is about.",
            "Write list_id = 35869, say, or a method get_list_id(self, obj).",
        )
    elif isinstance(list_id, str) and list_id.isdigit():
        yield Flaw(
            f"list_id is the text '{list_id}'.", f"A list's number is written without quotes: list_id = {list_id}."
        )
    elif isinstance(list_id, int):
        if isinstance(list_id, bool) or list_id <= 0:
            yield Flaw(f"list_id is {list_id}, which can't be a list's number.", "It is above zero.")
    else:
        yield from _flaws_of_value(source, "list_id", list_id)


# Watches


def _flaws_of_watch(source: Source) -> Iterator[Flaw]:
    watch: Mapping[Any, Any] = source.watch
    for model_or_name, path in watch.items():
        watched = installed_model(model_or_name)
        if watched is None:
            continue
        if not isinstance(path, str):
            yield Flaw(
                f"watch has {path!r} for {watched._meta.label}, and must have a path.",
                f"Write the path from a {watched.__name__} to a {source.model.__name__} as text.",
            )
            continue
        steps = relation_steps(watched, path)
        try:
            end = End(model=steps[-1].target) if steps else _end_of_path(watched, path, {})
        except WrongPath as error:
            yield _flaw_of_path(f"watch of {watched._meta.label}", path, error)
            continue
        if end is not None and (end.model is None or not are_kin(end.model, source.model)):
            yield Flaw(
                f"watch of {watched._meta.label}: the path '{path}' leads to {end.name}, not to a "
                f"{source.model.__name__} object.",
                f"Name the path from a {watched.__name__} to the {source.model.__name__} that it changes.",
            )


# Values and paths


def _flaws_of_value(source: Source, name: str, getter: Any) -> Iterator[Flaw]:
    """Mistakes in how the value `name` is found."""
    if callable(getter):
        if not _takes(getter, None):
            yield Flaw(
                f"{name} is a function that can't be called with the object alone.",
                f"Let it take one argument, the object; a method of the source is called get_{name}(self, obj).",
            )
        elif inspect.iscoroutinefunction(getter):
            yield _asynchronous(f"{name}, a function,")
        return
    if getter is None:
        return
    if not isinstance(getter, str):
        yield Flaw(
            f"{name} is {getter!r}, and must be a path, the name of a method or a function.",
            f"For a value that is always the same write {name} = lambda obj: {getter!r}.",
        )
        return
    if source.is_method(getter) and not _takes(getattr(source, getter), None):
        yield Flaw(
            f"{name}, the method {getter}, can't be called with the object alone.",
            f"Write it as def {getter}(self, obj).",
        )
        return
    if source.is_method(getter) and inspect.iscoroutinefunction(getattr(source, getter)):
        yield _asynchronous(f"{name}, the method {getter},")
    yield from _flaws_of_path(source, name, getter)


def _flaws_of_path(source: Source, name: str, getter: str) -> Iterator[Flaw]:
    try:
        end = end_of_getter(source, getter)
    except WrongPath as error:
        yield _flaw_of_path(name, getter, error)
        return
    if end is None:
        return
    if end.model is not None:
        yield Flaw(
            f"{name}, the path '{getter}', leads to {end.name}, which can't be sent.",
            "Let the path go on to one of its fields, or write a method.",
        )
        return
    if name in LONGEST and isinstance(end.field, NEVER_AN_IDENTITY):
        yield Flaw(
            f"{name}, the path '{getter}', leads to {end.name}, and must lead to text or a whole number.",
            "Name another field, or write a method.",
        )
    wanted, found = STANDARD_TYPES.get(name), _json_type(end.field)
    if wanted is not None and found is not None and wanted != found:
        yield Flaw(
            f"'{name}' is an attribute of Blueshift's own, and {wanted.label}; the path '{getter}' leads to "
            f"{end.name}, which is sent as {found.label}.",
            "Let it lead to what Blueshift means by that name, or give the attribute another name.",
        )


def _takes(function: Any, *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # some functions of Python's own don't say
        return True
    return True


def _flaw_of_path(name: str, path: str | None, error: WrongPath) -> Flaw:
    return Flaw(f"{name}, the path '{path}': {error}", "Correct the path; '__' leads from one object to the next.")


def end_of_getter(source: Source, getter: Any) -> End | None:
    if not isinstance(getter, str) or source.is_method(getter):
        return None
    return _end_of_path(source.model, getter, _annotations(source))


def _annotations(source: Source) -> Mapping[str, Any]:
    """What the source's own queryset adds to its objects."""
    try:
        return source.get_queryset().query.annotations
    except Exception:  # noqa: BLE001 - the site's code, which may need more than there is now
        return {}


def _end_of_path(model: type[Model], path: str, annotations: Mapping[str, Any]) -> End | None:
    """What the path leads to, or None where that can't be told from here. Raises WrongPath where it leads nowhere."""
    names = path.split("__")
    end: End | None = End(model=model)
    for position, name in enumerate(names):
        if end is None or (position == 0 and name in annotations):
            return None
        end = _step(end, name)
    return end


def _step(end: End, name: str) -> End | None:
    if end.model is None:
        _check_step_from_field(end.field, name)
        return None
    if end.is_many:
        if not _have_together(end.model, name):
            raise WrongPath(f"it leads to {end.name}, which have no '{name}' together. Write a method instead.")
        return None
    if not _has(end.model, name):
        raise WrongPath(f"a {end.model.__name__} has no '{name}'.{_guess(name, end.model)}")
    relation = relation_called(end.model, name)
    if relation is not None:
        return End(model=relation.related_model, is_many=relation.one_to_many or relation.many_to_many)
    field: Any = {field.attname: field for field in end.model._meta.fields}.get(name)
    return None if field is None else End(field=field)


def _has(model: type[Model], name: str) -> bool:
    """Whether an object of `model` may have such an attribute. One with `__getattr__` may have any."""
    nothing = object()
    return inspect.getattr_static(model, name, nothing) is not nothing or hasattr(model, "__getattr__")


def _have_together(model: type[Model], name: str) -> bool:
    """Whether many objects have it: a method of their manager. What all managers keep, such as `name`, isn't meant."""
    found = getattr(model._default_manager, name, None)
    return callable(found) or (hasattr(model._default_manager, name) and not hasattr(models.Manager(), name))


def _check_step_from_field(field: Any, name: str) -> None:
    for field_class, python_type, _ in FIELD_TYPES:
        if _is_djangos(field) and isinstance(field, field_class) and not hasattr(python_type, name):
            raise WrongPath(f"'{field.name}' is a {type(field).__name__}, and has no '{name}'.")


def _json_type(field: Any) -> JsonType | None:
    """What the field's values are sent as, as far as is known."""
    if not _is_djangos(field):
        return None
    return next((json_type for field_class, _, json_type in FIELD_TYPES if isinstance(field, field_class)), None)


def _is_djangos(field: Any) -> bool:
    """Whether the field is one of Django's own; another one may hold whatever it likes."""
    return type(field).__module__.startswith("django.db.models.fields") and not getattr(field, "choices", None)


def _guess(name: str, model: type[Model]) -> str:
    known = [known for known in dir(model) if not known.startswith("_")]
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
