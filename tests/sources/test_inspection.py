"""Mistakes in sources are errors of `manage.py check`, which name the source and the path."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import models
from django.db.models import Count
from django.db.models.fields.files import FieldFile

from blueshift_sync.sources import CustomerSource, MembershipSource, registry, to_json
from blueshift_sync.sources.inspection import flaws, flaws_of
from tests.club.models import Member, Seat, Signup, Tag
from tests.site.models import Badge, Colleague, Person, Visit, Worker

from .conftest import Register

Errors = Callable[..., list[tuple[str, str, str]]]


def found() -> list[tuple[str, str, str]]:
    ours = [
        error for error in run_checks(databases=[]) if str(error.id) in {"blueshift_sync.E004", "blueshift_sync.E005"}
    ]
    return [(str(error.id), error.msg, str(error.hint)) for error in ours]


@pytest.fixture
def errors(registered: Register) -> Errors:
    """What the checks say of a source with these names in its body."""

    def of(kind: type = CustomerSource, model: type[models.Model] = Person, **names: Any) -> list[tuple[str, str, str]]:
        if kind is CustomerSource:
            names = {"email": "email", **names}
        elif "customer" not in names:
            names = {"customer": "person", **names}
            registered(Person)(type("People", (CustomerSource,), {"email": "email"}))
        registered(model)(type("Source", (kind,), names))
        return found()

    return of


def test_the_sources_of_this_suite_are_sound() -> None:
    assert found() == []


ATTRIBUTES = [
    ("nickname", "'nickname': a Person has no 'nickname'"),
    ("nam", "a Person has no 'nam'. Did you mean 'name'?"),
    ("manager__boss", "'manager__boss': a Person has no 'boss'"),
    ("badge__shape", "'badge__shape': a Badge has no 'shape'"),
    ("signup_set__news", "'signup_set__news': a Person has no 'signup_set'. Did you mean"),
    ("visits__name", "it leads to many Visit objects, which have no 'name' together"),
    ("visits__person", "it leads to many Visit objects, which have no 'person' together"),
    ("name__first", "'name' is a CharField, and has no 'first'"),
    ("", "a Person has no ''"),
    ("manager", "'manager', leads to a Person object, which can't be sent"),
    ("badge", "'badge', leads to a Badge object, which can't be sent"),
    ("visits", "'visits', leads to many Visit objects, which can't be sent"),
    (7, "odd is 7, and must be a path, the name of a method or a function"),
]


@pytest.mark.parametrize(("getter", "complaint"), ATTRIBUTES, ids=[str(getter) for getter, _ in ATTRIBUTES])
def test_an_attribute_that_leads_nowhere(errors: Errors, getter: Any, complaint: str) -> None:
    ((code, message, hint),) = errors(attributes={"odd": getter})
    assert code == "blueshift_sync.E004"
    assert message.startswith("Source, the source of site.Person: odd")
    assert complaint in message
    assert hint


@pytest.mark.parametrize("name", ["customer_id", "email", "uuid", "firstname", "lastname"])
def test_a_field_that_leads_nowhere(errors: Errors, name: str) -> None:
    ((_, message, _),) = errors(**{name: "nowhere"})
    assert message.startswith(f"Source, the source of site.Person: {name}, the path 'nowhere': ")


GOOD = ["pk", "id", "manager_id", "manager__name", "badge__colour", "shout", "manager__shout", "visits__count"]


@pytest.mark.parametrize("getter", [*GOOD, "name__upper", "data__keys", "method", len, lambda person: person.nowhere])
def test_what_can_be_found(errors: Errors, getter: Any) -> None:
    assert errors(attributes={"fine": getter}, method=lambda source, person: 1) == []


def test_what_the_sources_queryset_adds_can_be_found(errors: Errors) -> None:
    def get_queryset(source: Any) -> Any:
        return Person.objects.annotate(visit_count=Count("visits"))

    assert errors(attributes={"visits": "visit_count"}, get_queryset=get_queryset) == []


WRONG_QUERYSETS = [
    (lambda: None, "gives nothing, and must give a queryset"),
    (list, "gives a list, and must give a queryset"),
    (lambda: Person.objects.raw("SELECT 1"), "gives a RawQuerySet, and must give a queryset"),
    (Visit.objects.all, "gives site.Visit objects, and must give those of site.Person"),
    (Worker.objects.all, None),
    (Colleague.objects.all, None),
    (lambda: Person.objects, None),
    (lambda: Person.objects.only("name").distinct().order_by("name"), None),
    (lambda: Person.objects.values("email"), "gives values, and must give whole objects"),
    (lambda: Person.objects.values_list("email"), "gives values, and must give whole objects"),
    (lambda: Person.objects.all()[:9], "gives a slice or a union, of which nobody can ask for single objects"),
    (lambda: Person.objects.union(Person.objects.all()), "gives a slice or a union"),
]


@pytest.mark.parametrize(("queryset", "complaint"), WRONG_QUERYSETS)
def test_what_a_queryset_must_give(errors: Errors, queryset: Any, complaint: str | None) -> None:
    messages = [message for _, message, _ in errors(get_queryset=lambda source: queryset())]
    assert len(messages) == bool(complaint)
    assert all(f"Source, the source of site.Person: the method get_queryset {complaint}" in each for each in messages)


def test_a_queryset_that_fails_is_no_reason_to_fail(errors: Errors) -> None:
    def get_queryset(source: Any) -> Any:
        raise ZeroDivisionError

    assert len(errors(attributes={"visits": "visit_count"}, get_queryset=get_queryset)) == 1


@pytest.mark.parametrize(("model", "path"), [(Person, "active"), (Seat, "pk")])
def test_a_field_that_leads_to_no_text(model: Any, path: str) -> None:
    source = type("Source", (CustomerSource,), {"email": path})()
    source.model = model
    (flaw,) = flaws_of(source)
    assert "and must lead to text or a whole number" in flaw.message


def test_no_identifier(registered: Register) -> None:
    registered(Person)(type("Source", (CustomerSource,), {"firstname": "name"}))
    ((_, message, hint),) = found()
    assert "neither customer_id nor email" in message
    assert "email =" in hint


def test_an_identifier_by_a_method_is_one(registered: Register) -> None:
    registered(Person)(type("Source", (CustomerSource,), {"get_customer_id": lambda source, person: person.pk}))
    assert found() == []


NAMES = [
    ("bsft_id", "'bsft_id' begins with 'bsft_'"),
    ("_bsft_id", "'_bsft_id' begins with 'bsft_' or '_bsft_', which are Blueshift's own"),
    ("email", "'email' is a field of every customer, and no attribute"),
    ("customer_id", "'customer_id' is a field of every customer"),
    ("subscription_groups", "'subscription_groups' is no attribute"),
    ("", "has no name"),
    (7, "has no name"),
    ("a\0", "can't be sent"),
    ("\ud800", "can't be sent"),
]


@pytest.mark.parametrize(("name", "complaint"), NAMES, ids=[repr(name) for name, _ in NAMES])
def test_a_name_that_cannot_be_used(errors: Errors, name: Any, complaint: str) -> None:
    ((_, message, _),) = errors(attributes={name: "name"})
    assert complaint in message


@pytest.mark.parametrize(
    ("name", "path", "complaint"),
    [
        ("unsubscribed", "name", "'unsubscribed' is an attribute of Blueshift's own, and true or false"),
        ("birth_year", "email", "a number; the path 'email' leads to a CharField, which is sent as text"),
        ("joined_at", "active", "leads to a BooleanField, which is sent as true or false"),
        ("phone_number", "pk", None),
        ("phone_number", "id", "which is sent as a number"),
        ("gender", "name", None),
        ("joined_at", "data", None),
    ],
)
def test_a_standard_name_used_for_something_else(errors: Errors, name: str, path: str, complaint: str | None) -> None:
    messages = [message for _, message, _ in errors(attributes={name: path})]
    assert len(messages) == (complaint is not None)
    assert all(str(complaint) in message for message in messages)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ({"plan"}, "send_null names 'plan', which the source doesn't map"),
        ("gender", "send_null is text, and must be a set of names"),
        ({"gender"}, "send_null names 'gender', of which Blueshift takes no null"),
        ({"firstname"}, "send_null names 'firstname', which the source doesn't map"),
    ],
)
def test_a_null_that_cannot_be_sent(errors: Errors, names: Any, complaint: str) -> None:
    ((_, message, _),) = errors(attributes={"gender": "name"}, send_null=names)
    assert complaint in message


MEMBERSHIPS: list[tuple[dict[str, Any], str]] = [
    ({"list_id": 7, "customer": None}, "it doesn't say whose membership an object is"),
    ({"list_id": 7, "customer": "nobody"}, "customer, the path 'nobody': a Visit has no 'nobody'"),
    ({"list_id": 7, "customer": "person__name"}, "'person__name', leads to a CharField"),
    ({"list_id": 7, "customer": "person__visits"}, "leads to many Visit objects"),
    ({"list_id": 7, "customer": "person__badge"}, "no CustomerSource is registered for site.Badge"),
    ({}, "it doesn't say which list it is about"),
    ({"list_id": "35869"}, "list_id is the text '35869'"),
    ({"list_id": 0}, "list_id is 0"),
    ({"list_id": True}, "list_id is True"),
    ({"list_id": "person__news"}, "list_id, the path 'person__news': a Person has no 'news'"),
]


@pytest.mark.parametrize(("names", "complaint"), MEMBERSHIPS)
def test_a_membership_source(errors: Errors, names: dict[str, Any], complaint: str) -> None:
    ((_, message, _),) = errors(MembershipSource, Visit, **names)
    assert message.startswith("Source, the source of site.Visit: ")
    assert complaint in message


def test_a_sound_membership_source(errors: Errors) -> None:
    assert errors(MembershipSource, Visit, list_id="person__pk") == []


WATCHES: list[tuple[dict[Any, Any], str]] = [
    ({Visit: "nobody"}, "watch of site.Visit, the path 'nobody': a Visit has no 'nobody'"),
    ({Visit: "person__nobody"}, "a Person has no 'nobody'"),
    ({Visit: "person__badge"}, "the path 'person__badge' leads to a Badge object, not to a Person object"),
    ({Badge: "colour"}, "leads to a CharField, not to a Person object"),
    ({Badge: None}, "watch has None for site.Badge, and must have a path"),
]


@pytest.mark.parametrize(("watch", "complaint"), WATCHES)
def test_a_watch_that_leads_nowhere(errors: Errors, watch: dict[Any, Any], complaint: str) -> None:
    ((_, message, _),) = errors(watch=watch)
    assert message.startswith("Source, the source of site.Person: watch")
    assert complaint in message


@pytest.mark.parametrize(
    "watch", [{Visit: "person__manager"}, {Person: "reports"}, {"site.Badge": "person"}, {Colleague: "manager"}]
)
def test_a_sound_watch(errors: Errors, watch: dict[Any, str]) -> None:
    assert errors(watch=watch) == []


def test_a_sound_watch_over_many_to_many() -> None:
    assert Member in {source.model for source in registry.all_sources() if Tag in dict(source.watched())}
    assert Signup in {source.model for source in registry.all_sources()}


def test_a_model_that_is_not_installed(errors: Errors, monkeypatch: pytest.MonkeyPatch, registered: Register) -> None:
    class Stray(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "stray"

    monkeypatch.setattr(registry, "_missing", [])
    registered("shop.Nothing", "stray.Nothing")(type("Lost", (CustomerSource,), {"email": "email"}))
    registered(Stray)(type("Astray", (CustomerSource,), {"email": "pk"}))
    messages = [message for code, message, _ in errors(watch={"stray.Stray": "pk", Stray: "pk"})]
    assert messages == [
        "Lost names the model shop.Nothing, which isn't installed.",
        "Lost names the model stray.Nothing, which isn't installed.",
        "Astray names the model stray.Stray, which isn't installed.",
        "Source names the model stray.Stray, which isn't installed.",
        "Source names the model stray.Stray, which isn't installed.",
    ]


def test_two_customer_sources_of_one_table(registered: Register) -> None:
    for model in (Person, Colleague):
        registered(model)(type(f"Of{model.__name__}", (CustomerSource,), {"email": "email"}))
    ((_, message, _),) = found()
    assert message == (
        "OfPerson, the source of site.Person, and OfColleague, that of site.Colleague, mirror the same rows: "
        "each would be two customers."
    )


def test_an_attribute_of_the_class_that_is_none_can_be_found(errors: Errors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Person, "nickname", None, raising=False)
    assert errors(attributes={"nickname": "nickname"}) == []


def test_a_model_that_answers_to_any_name(errors: Errors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Person, "__getattr__", lambda self, name: name, raising=False)
    assert errors(attributes={"nickname": "nickname"}) == []


@pytest.mark.parametrize("getter", [lambda: 1, lambda self, person: person.email])
def test_a_function_that_does_not_take_the_object(errors: Errors, getter: Any) -> None:
    ((_, message, _),) = errors(firstname=getter)
    assert "firstname is a function that can't be called with the object alone" in message


def test_a_user_model_that_another_one_has_replaced(registered: Register, settings: Any) -> None:
    settings.AUTH_USER_MODEL = "club.Member"

    @registered(User)
    class Users(CustomerSource):
        email = "email"

    assert any("this site has club.Member in its place" in flaw.message for flaw in flaws())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attributes", ["email"]),
        ("attributes", lambda self, person: {}),
        ("watch", [Visit]),
        ("watch", None),
        ("send_null", None),
        ("send_null", {"x", 1}),
    ],
)
def test_what_must_be_a_dictionary_or_a_set(errors: Errors, name: str, value: Any) -> None:
    ((code, message, _),) = errors(**{name: value})
    assert code == "blueshift_sync.E004"
    assert f"{name} must be a " in message


WRONG_METHODS = [
    ("include", lambda self: True, "the method include can't be called with the object alone"),
    ("include", True, "include is True, and must be a method"),
    ("get_email", lambda self, obj, request: "", "the method get_email can't be called with the object alone"),
    ("get_email", "email", "get_email is 'email', and must be a method"),
    ("get_subscription_groups", {"news": True}, "get_subscription_groups is {'news': True}, and must be a method"),
    ("get_queryset", lambda self, request: None, "the method get_queryset can't be called with nothing"),
]


@pytest.mark.parametrize(("name", "method", "complaint"), WRONG_METHODS, ids=[each[2] for each in WRONG_METHODS])
def test_a_method_that_cannot_be_called_as_it_will_be(errors: Errors, name: str, method: Any, complaint: str) -> None:
    ((code, message, hint),) = errors(**{name: method})
    assert code == "blueshift_sync.E004"
    assert message == f"Source, the source of site.Person: {complaint}."
    assert f"def {name}(self" in hint


async def later(*args: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"include": later}, "the method include"),
        ({"attributes": {"vip": later}}, "vip, a function,"),
        ({"attributes": {"vip": "get_vip"}, "get_vip": later}, "vip, the method get_vip,"),
    ],
)
def test_what_is_asynchronous_is_awaited_by_nobody(errors: Errors, names: Any, what: str) -> None:
    ((_, message, hint),) = errors(**names)
    assert message == f"Source, the source of site.Person: {what} is asynchronous, and nobody awaits what it returns."
    assert "async def" in hint


def test_a_method_of_an_attribute_that_takes_no_object(errors: Errors) -> None:
    ((_, message, _),) = errors(attributes={"orders": "get_orders"}, get_orders=lambda self: 1)
    assert message.endswith("orders, the method get_orders, can't be called with the object alone.")


def test_a_method_of_a_membership_source_that_takes_no_object(errors: Errors) -> None:
    ((_, message, _),) = errors(MembershipSource, Visit, get_list_id=lambda self: 7)
    assert message.endswith("the method get_list_id can't be called with the object alone.")


def test_methods_with_more_than_they_need_are_fine(errors: Errors) -> None:
    def get_email(self: Any, obj: Any, *args: Any, loud: bool = False) -> str:
        return ""

    assert (
        errors(get_email=get_email, include=staticmethod(lambda obj: True), get_firstname=lambda self, obj=None: "")
        == []
    )


@pytest.fixture
def warnings(errors: Errors) -> Callable[..., list[str]]:
    """What the checks say of names in a source's body that nobody asks for."""

    def of(*args: Any, **names: Any) -> list[str]:
        assert errors(*args, **names) == []
        return [warning.msg for warning in run_checks(databases=[]) if warning.id == "blueshift_sync.W003"]

    return of


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("first_name", "firstname"),
        ("last_name", "lastname"),
        ("customerid", "customer_id"),
        ("e_mail", "email"),
        ("get_first_name", "get_firstname"),
        ("attribute", "attributes"),
        ("Watch", "watch"),
        ("includes", "include"),
        ("get_query_set", "get_queryset"),
        ("get_subscription_group", "get_subscription_groups"),
        ("send_nulls", "send_null"),
    ],
)
def test_a_name_that_is_written_wrong_is_a_warning(warnings: Callable[..., list[str]], name: str, meant: str) -> None:
    assert warnings(**{name: "name"}) == [
        f"Source, the source of site.Person: nobody asks for '{name}'. Is it '{meant}' that is meant?"
    ]


def test_a_standard_attribute_in_the_body_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    assert warnings(phone_number="number") == [
        "Source, the source of site.Person: 'phone_number' isn't read from the source's body."
    ]


def test_a_name_of_a_membership_source_that_is_written_wrong(warnings: Callable[..., list[str]]) -> None:
    (message,) = warnings(MembershipSource, Visit, list_id=7, listid=8)
    assert "'listid'" in message


def test_names_of_the_sites_own_are_no_mistake(warnings: Callable[..., list[str]]) -> None:
    own = {"domain": "example.com", "get_orders": lambda self, obj: 1, "format_name": lambda self, obj: "", "name": "x"}
    assert warnings(**own, emails=lambda self, obj: "", attributes={"emails": "emails"}) == []


SIGNING = [
    (SimpleNamespace(querystring_auth=True, custom_domain=None, cloudfront_signer=None), True),
    (SimpleNamespace(querystring_auth=True, custom_domain="cdn.example.com", cloudfront_signer=object()), True),
    (SimpleNamespace(querystring_auth=True, custom_domain="cdn.example.com", cloudfront_signer=None), False),
    (SimpleNamespace(querystring_auth=False, custom_domain=None), False),
    (SimpleNamespace(expiration_secs=60), True),
    (SimpleNamespace(expiration_secs=None), False),
    (SimpleNamespace(), False),
]


@pytest.mark.parametrize(("storage", "is_signed"), SIGNING)
def test_a_file_whose_address_is_signed_is_a_warning(
    errors: Errors, monkeypatch: pytest.MonkeyPatch, storage: Any, is_signed: bool
) -> None:
    monkeypatch.setattr(Badge._meta.get_field("photo"), "storage", storage)
    assert errors(attributes={"photo": "badge__photo", "name": "badge__photo__name", "odd": "name"}) == []
    messages = [warning.msg for warning in run_checks(databases=[]) if warning.id == "blueshift_sync.W004"]
    assert [message.split("leads")[0] for message in messages] == [
        "Source, the source of site.Person: photo, the path 'badge__photo', "
    ] * is_signed


def test_a_file_that_the_site_sends_otherwise_is_no_matter(errors: Errors, monkeypatch: pytest.MonkeyPatch) -> None:
    class Photo(FieldFile):
        pass

    to_json.register(Photo, lambda file: file.name)
    monkeypatch.setattr(Badge._meta.get_field("photo"), "storage", SIGNING[0][0])
    monkeypatch.setattr(Badge._meta.get_field("photo"), "attr_class", Photo)
    errors(attributes={"photo": "badge__photo"})
    assert [warning for warning in run_checks(databases=[]) if warning.id == "blueshift_sync.W004"] == []
