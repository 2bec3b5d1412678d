"""What the mixin adds to the site's own admin pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from blueshift_sync import services
from blueshift_sync.admin import BlueshiftAdminMixin
from blueshift_sync.admin.site_actions import SiteActions
from blueshift_sync.delivery import gathering, selections
from blueshift_sync.delivery.runs import finish_if_done
from blueshift_sync.models import Customer, ListMembership, SyncRun
from blueshift_sync.sources import CustomerSource, MembershipSource, register
from blueshift_sync.sources.registration import unregister
from project.shop import models as shop
from tests.factories import make_list, make_result
from tests.site.models import Account, Colleague, Contact, Device, Partner, Person, Profile, Signup, Worker

from .pages import action, page_url, text_of

SCRIPT = '<script>alert("x")</script>'
COLUMN = "field-blueshift_state"


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:shop_{model._meta.model_name}_changelist")


def object_url(obj: Model) -> str:
    return reverse(f"admin:shop_{obj._meta.model_name}_change", args=[obj.pk])


def make_shopper(number: int = 1, **fields: Any) -> shop.Customer:
    return shop.Customer.objects.create(customer_number=f"c{number}", email=f"c{number}@example.com", **fields)


def mirror_of(obj: Model) -> Customer:
    return Customer.objects.get(source_id=str(obj.pk))


def make_signup(shopper: shop.Customer, number: int = 7, **fields: Any) -> shop.NewsletterSignup:
    letter, _ = shop.Newsletter.objects.get_or_create(blueshift_list_id=number, defaults={"name": f"Letter {number}"})
    return shop.NewsletterSignup.objects.create(customer=shopper, newsletter=letter, confirmed=True, **fields)


@pytest.fixture
def staff_of_shop(db: None) -> Callable[..., Client]:
    """Logs in somebody who may change the shop's objects, with these permissions of ours."""

    def with_permissions(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
        ours = Permission.objects.filter(content_type__app_label="blueshift_sync", codename__in=codenames)
        user.user_permissions.set([*ours, *Permission.objects.filter(content_type__app_label="shop")])
        client = Client()
        client.force_login(user)
        return client

    return with_permissions


# The column


def test_the_list_has_the_state_of_each_object_with_a_link_to_the_mirror(admin_client: Client) -> None:
    shoppers = [make_shopper(number) for number in range(3)]
    Customer.objects.filter(pk=mirror_of(shoppers[0]).pk).update(state="SYNCED")
    Customer.objects.filter(pk=mirror_of(shoppers[1]).pk).update(state="FAILED")
    Customer.objects.filter(pk=mirror_of(shoppers[2]).pk).delete()
    page = admin_client.get(list_url(shop.Customer)).content.decode()
    cells = re.findall(rf'<td class="{COLUMN}">(.*?)</td>', page)
    assert [re.sub("<[^>]+>", "", cell) for cell in cells] == ["In step", "Failed", "Not mirrored"]
    assert f'href="{page_url(mirror_of(shoppers[0]))}"' in cells[0]
    assert "blueshift_sync/admin.css" in page


def test_a_membership_has_its_own_state(admin_client: Client) -> None:
    make_signup(make_shopper())
    page = text_of(admin_client.get(list_url(shop.NewsletterSignup)))
    assert "Waiting" in page
    assert "Not mirrored" not in page
    ListMembership.objects.all().delete()
    assert "Not mirrored" not in text_of(admin_client.get(list_url(shop.NewsletterSignup)))


def queries_of(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_the_column_takes_one_query_whatever_the_number_of_objects(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shopper(1)
    few = queries_of(admin_client, list_url(shop.Customer))
    for number in range(2, 40):
        make_shopper(number)
    assert queries_of(admin_client, list_url(shop.Customer)) == few
    monkeypatch.setattr(BlueshiftAdminMixin, "_kinds_to_view", lambda *_: [])
    assert queries_of(admin_client, list_url(shop.Customer)) == few - 1


def test_who_may_not_view_the_mirror_sees_nothing_of_it(staff_of_shop: Callable[..., Client]) -> None:
    shopper = make_shopper()
    for client, is_shown in ((staff_of_shop(), False), (staff_of_shop("view_customer"), True)):
        assert (COLUMN in client.get(list_url(shop.Customer)).content.decode()) == is_shown
        assert ("field-blueshift_panel" in client.get(object_url(shopper)).content.decode()) == is_shown


def test_the_column_stands_where_the_site_wants_it(admin_user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    site_admin = admin_of(shop.Customer)
    monkeypatch.setattr(site_admin, "list_display", ("email", "blueshift_state", "language"))
    assert site_admin.check() == []
    assert list(site_admin.get_list_display(request_of(admin_user))) == ["email", "blueshift_state", "language"]
    nobody = request_of(User.objects.create_user("nobody", is_staff=True))
    assert site_admin.get_list_display(nobody) == ["email", "language"]


def test_a_model_without_source_stays_as_it_is(admin_user: User) -> None:
    site_admin = admin_of(Device)
    request = request_of(admin_user)
    assert site_admin.get_list_display(request) == ["__str__"]
    assert "blueshift_push" not in site_admin.get_actions(request)


# Every kind of model


@pytest.fixture
def sources() -> Iterator[Callable[..., None]]:
    """Registers a plain source for each of the models until the end of the test."""
    seen: list[type[Model]] = []

    def for_now(*models: type[Model], **columns: str) -> None:
        for model in models:
            seen.append(model)
            register(model)(type("Plain", (CustomerSource,), {"email": "email", **columns}))

    yield for_now
    for model in seen:
        unregister(model)


def admin_of(model: type[Model]) -> Any:
    class SiteAdmin(BlueshiftAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
        pass

    return SiteAdmin(model, admin.AdminSite())


def request_of(user: User) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


def states_of(model: type[Model], user: User) -> dict[Any, str]:
    """What the column says of each object of the model."""
    site_admin = admin_of(model)
    objects = site_admin.get_changelist_instance(request_of(user)).result_list
    return {obj.pk: re.sub("<[^>]+>", "", str(site_admin.blueshift_state(obj))) for obj in objects}


def test_keys_of_any_type_are_found(sources: Callable[..., None], admin_user: User) -> None:
    sources(Device, Account)
    sources(Profile)
    device = Device.objects.create(email="a@example.com")
    account = Account.objects.create(login="Ärger/1", email="b@example.com")
    Profile.objects.create(account=account, email="c@example.com")
    Customer.objects.filter(source_type="site.device").update(state="SYNCED")
    assert states_of(Device, admin_user) == {device.pk: "In step"}
    assert states_of(Account, admin_user) == {account.pk: "Waiting"}
    assert states_of(Profile, admin_user) == {account.pk: "Waiting"}


def test_proxies_parents_and_children_show_the_row_of_their_source(
    sources: Callable[..., None], admin_user: User
) -> None:
    sources(Worker)
    person, worker = Person.objects.create(email="p@example.com"), Worker.objects.create(email="w@example.com")
    expected = {person.pk: "Not mirrored", worker.pk: "Waiting"}
    assert states_of(Person, admin_user) == expected
    assert states_of(Colleague, admin_user) == expected
    assert states_of(Worker, admin_user) == {worker.pk: "Waiting"}


def test_a_child_with_a_key_of_its_own_is_found_from_either_parent(
    sources: Callable[..., None], admin_user: User
) -> None:
    sources(Partner)
    Contact.objects.create(address="Nobody's")
    partner = Partner.objects.create(email="p@example.com", address="Somewhere")
    assert partner.pk != partner.contact_key
    assert states_of(Contact, admin_user)[partner.contact_key] == "Waiting"
    assert states_of(Partner, admin_user) == {partner.pk: "Waiting"}
    run = services.push_objects(Contact.objects.filter(pk=partner.contact_key))
    assert [each.total for each in run] == [1]


def test_of_several_memberships_each_state_is_counted(sources: Callable[..., None], admin_user: User) -> None:
    sources(Person)

    class News(MembershipSource):
        customer = "person"
        list_id = 1

    class Offers(News):
        list_id = 2

    class Sports(News):
        list_id = 3

    for source in (News, Offers, Sports):
        register(Signup)(source)
    try:
        signup = Signup.objects.create(person=Person.objects.create(email="a@example.com"))
        ListMembership.objects.filter(customer_list__list_id=2).update(state="SYNCED")
        assert states_of(Signup, admin_user) in (
            {signup.pk: "Waiting: 2 In step: 1"},
            {signup.pk: "In step: 1 Waiting: 2"},
        )
    finally:
        unregister(Signup)


# The panel


def test_the_panel_says_how_things_stand(admin_client: Client) -> None:
    shopper = make_shopper()
    make_signup(shopper)
    row = mirror_of(shopper)
    Customer.objects.filter(pk=row.pk).update(state="FAILED", error_code="rejected", error_message="The e-mail is bad.")
    result = make_result(customer=row)
    response = admin_client.get(object_url(shopper))
    text = text_of(response)
    assert "Failed" in text
    assert "The e-mail is bad." in text
    assert "Latest calls" in text
    page = response.content.decode()
    assert f'<a href="{page_url(row)}">' in page
    assert f'<a href="{page_url(result.call)}">' in page
    assert f'<a href="{page_url(ListMembership.objects.get())}">' in page


def test_the_panel_shows_calls_and_lists_to_those_who_may_view_them(staff_of_shop: Callable[..., Client]) -> None:
    shopper = make_shopper()
    make_signup(shopper)
    make_result(customer=mirror_of(shopper))
    page = object_url(shopper)
    assert "Latest calls" not in text_of(staff_of_shop("view_customer").get(page))
    assert "Should be a member" not in text_of(staff_of_shop("view_customer").get(page))
    allowed = text_of(staff_of_shop("view_customer", "view_apicall", "view_listmembership").get(page))
    assert "Latest calls" in allowed
    assert "Should be a member" in allowed


def test_an_object_that_isnt_mirrored_says_so_and_a_new_one_has_no_panel(admin_client: Client) -> None:
    shopper = make_shopper()
    Customer.objects.all().delete()
    assert "Not mirrored: no save has told of this object yet" in text_of(admin_client.get(object_url(shopper)))
    assert "blueshift_panel" not in admin_client.get(reverse("admin:shop_customer_add")).content.decode()


def test_saving_the_page_with_the_panel_saves_the_object(admin_client: Client) -> None:
    shopper = make_shopper()
    form = admin_client.get(object_url(shopper)).context["adminform"].form
    fields = {name: form[name].value() or "" for name in form.fields} | {"given_name": "Ada"}
    fields |= {"created_at_0": "2026-01-01", "created_at_1": "00:00:00"}
    for prefix in ("subscription", "orders", "signups"):
        fields |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    response = admin_client.post(object_url(shopper), fields)
    assert response.status_code == 302, response.context["adminform"].form.errors
    assert mirror_of(shopper).firstname == "Ada"


def test_the_number_of_queries_of_the_panel_doesnt_grow_with_what_it_shows(admin_client: Client) -> None:
    shopper = make_shopper()
    make_signup(shopper, 1)
    make_result(customer=mirror_of(shopper))
    few = queries_of(admin_client, object_url(shopper))
    for number in range(2, 30):
        make_signup(make_shopper(number), number)
        membership = ListMembership.objects.latest("pk")
        ListMembership.objects.filter(pk=membership.pk).update(customer=mirror_of(shopper))
        make_result(customer=mirror_of(shopper))
    assert queries_of(admin_client, object_url(shopper)) == few


def test_what_came_from_outside_is_shown_as_text(admin_client: Client) -> None:
    shopper = make_shopper()
    make_signup(shopper)
    Customer.objects.update(customer_id=SCRIPT, error_code=SCRIPT, error_message=SCRIPT, state="FAILED")
    ListMembership.objects.update(error_message=SCRIPT, state="FAILED")
    make_result(customer=mirror_of(shopper), message=SCRIPT, code=SCRIPT)
    for url in (list_url(shop.Customer), object_url(shopper)):
        assert "<script>alert" not in admin_client.get(url).content.decode()


def test_pages_have_no_inline_code(admin_client: Client) -> None:
    from .test_admin_look import InlineCode

    shopper = make_shopper()
    make_signup(shopper)
    make_result(customer=mirror_of(shopper))
    for url in (list_url(shop.Customer), object_url(shopper)):
        assert InlineCode(admin_client.get(url).content.decode()).found == []


def test_a_site_whose_admin_has_no_pages_of_ours_shows_states_without_links(
    admin_user: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = "tests.api.urls"
    shopper = make_shopper()
    make_result(customer=mirror_of(shopper))
    assert states_of(shop.Customer, admin_user) == {shopper.pk: "Waiting"}
    from blueshift_sync.admin.site_models import _panel

    panel = str(_panel(request_of(admin_user), shopper, [Customer]))
    assert "Waiting" in panel
    assert "<a" not in panel


# The action


def act(client: Client, model: type[Model], *objects: Model, **more: Any) -> Any:
    return client.post(list_url(model), action("blueshift_push", *objects, **more), follow=True)


def test_selected_objects_are_sent(admin_client: Client, admin_user: User) -> None:
    shoppers = [make_shopper(number) for number in range(3)]
    Customer.objects.update(state="SYNCED", due_at=None)
    text = text_of(act(admin_client, shop.Customer, *shoppers[:2]))
    run = SyncRun.objects.get()
    assert "Sending 2 customers:" in text
    assert (run.trigger, run.requested_by, run.total) == (SyncRun.Trigger.ADMIN, admin_user, 2)
    assert Customer.objects.filter(run=run, state="PENDING").count() == 2


def test_all_that_the_list_finds_are_sent_by_slices(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.sources.slices.CHUNK", 3)
    monkeypatch.setattr("project.shop.admin.CustomerAdmin.list_per_page", 2)
    shoppers = [make_shopper(number, language="de" if number < 8 else "fr") for number in range(10)]
    url = f"{list_url(shop.Customer)}?language=de"
    admin_client.post(url, action("blueshift_push", shoppers[0], select_across=1, confirmed=1))
    assert SyncRun.objects.get().total == 8


def test_what_no_signal_told_of_is_captured_first(admin_client: Client) -> None:
    shop.Customer.objects.bulk_create([shop.Customer(customer_number="c1"), shop.Customer(customer_number="c2")])
    text = text_of(act(admin_client, shop.Customer, *shop.Customer.objects.all()))
    assert "Sending 2 customers:" in text
    assert Customer.objects.count() == 2


def test_memberships_are_sent_by_a_model_of_memberships(admin_client: Client) -> None:
    signup = make_signup(make_shopper())
    assert "Sending 1 list membership:" in text_of(act(admin_client, shop.NewsletterSignup, signup))


def test_the_action_needs_the_permission_to_send(staff_of_shop: Callable[..., Client]) -> None:
    shopper = make_shopper()
    client = staff_of_shop("view_customer", "push_listmembership")
    assert "blueshift_push" not in client.get(list_url(shop.Customer)).content.decode()
    act(client, shop.Customer, shopper)
    assert not SyncRun.objects.exists()
    allowed = staff_of_shop("push_customer")
    assert "blueshift_push" in allowed.get(list_url(shop.Customer)).content.decode()
    act(allowed, shop.Customer, shopper)
    assert SyncRun.objects.get().total == 1


def test_the_actions_themselves_ask_for_the_permission(admin_user: User) -> None:
    from django.core.exceptions import PermissionDenied

    site_admin, request = admin_of(shop.Customer), request_of(User.objects.create_user("nobody", is_staff=True))
    actions = SiteActions(site_admin).allowed(request_of(admin_user))
    assert len(actions) == 8
    for act_on, _name, _label in actions.values():
        with pytest.raises(PermissionDenied):
            act_on(site_admin, request, shop.Customer.objects.all())


def test_an_admin_without_actions_and_a_popup_stay_without(admin_user: User) -> None:
    site_admin = admin_of(shop.Customer)
    popup = RequestFactory().get("/?_popup=1")
    popup.user = admin_user
    assert site_admin.get_actions(popup) == {}
    site_admin.actions = None
    assert site_admin.get_actions(request_of(admin_user)) == {}


def act_on(client: Client, model: type[Model], name: str, *objects: Model, **more: Any) -> Any:
    url = f"{list_url(model)}{more.pop('query', '')}"
    return client.post(url, action(f"blueshift_{name}", *objects, **more), follow=True)


def test_what_is_many_is_asked_for_once_more(admin_client: Client) -> None:
    shoppers = [make_shopper(number, language="de" if number < 3 else "fr") for number in range(4)]
    page = text_of(act_on(admin_client, shop.Customer, "push", shoppers[0], select_across=1, query="?language=de&q=c"))
    assert "Blueshift: Send now, even if unchanged: 3 customers" in page
    assert "That is 1 call or more" in page
    assert "language: de" in page.replace(":  ", ": ")
    assert "search: c " in page.replace(":  ", ": ")
    assert not SyncRun.objects.exists()


def test_objects_are_excluded_and_included(admin_client: Client, admin_user: User) -> None:
    shopper = make_shopper()
    assert "until somebody includes them again" in text_of(act_on(admin_client, shop.Customer, "leave_out", shopper))
    page = text_of(act_on(admin_client, shop.Customer, "leave_out", shopper, confirmed=1))
    assert "Excluded: 1, by run" in page
    assert mirror_of(shopper).error_code == "excluded_by_operator"
    assert LogEntry.objects.get().change_message == "Blueshift: Exclude: don't send any more"
    act_on(admin_client, shop.Customer, "take_in", shopper)
    assert (mirror_of(shopper).state, mirror_of(shopper).error_code) == ("PENDING", "")


def test_objects_are_put_on_a_list(admin_client: Client) -> None:
    shopper, news = make_shopper(), make_list()
    assert "customer list" in text_of(act_on(admin_client, shop.Customer, "add_to_list", shopper)).lower()
    act_on(admin_client, shop.Customer, "add_to_list", shopper, confirmed=1, customer_list=news.pk)
    assert ListMembership.objects.get(customer_list=news).customer == mirror_of(shopper)


def test_a_preview_of_objects_captures_and_sends_nothing(admin_client: Client) -> None:
    shopper = make_shopper()
    shop.Customer.objects.bulk_create([shop.Customer(customer_number="unseen")])
    page = text_of(act_on(admin_client, shop.Customer, "preview", *shop.Customer.objects.all()))
    assert '"customer_id": "c1"' in page
    assert Customer.objects.count() == 1
    assert not SyncRun.objects.exists()
    assert mirror_of(shopper).version == 1


def test_a_million_objects_are_left_to_a_worker(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter is gone through by slices, by whom and in as many goes as it takes, and isn't kept afterwards."""
    monkeypatch.setattr(gathering, "SLICE", 4)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)
    shoppers = [make_shopper(number, language="de" if number < 10 else "fr") for number in range(12)]
    Customer.objects.update(state="SYNCED", due_at=None)
    query = "?language=de&q=c"
    page = act_on(admin_client, shop.Customer, "push", shoppers[0], select_across=1, confirmed=1, query=query)
    assert "These are many: a worker brings the rest" in text_of(page)
    run = SyncRun.objects.get()
    assert (run.total, run.scope["looked_at"]) == (4, 4)
    message = LogEntry.objects.get().change_message
    assert message == "Blueshift: Send now, even if unchanged: 10 customers, filtered by language: …, search: …"
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert run.total == 10
    assert set(Customer.objects.filter(run=run).values_list("customer_id", flat=True)) == {f"c{n}" for n in range(10)}
    services.cancel(run)
    run.refresh_from_db()
    assert "of" not in run.scope


def lost(monkeypatch: pytest.MonkeyPatch, settings: Any, how: str) -> None:
    if how == "key":
        settings.SECRET_KEY = "another one, after the selection was kept"
    elif how == "version":
        monkeypatch.setattr(selections, "get_version", lambda: "99.0")
    else:
        monkeypatch.setattr(selections.pickle, "loads", lambda _: 1 / 0)


@pytest.mark.parametrize("how", ["key", "version", "code"])
def test_what_cant_be_found_any_more_ends_the_run_with_a_reason(
    how: str, admin_client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(gathering, "SLICE", 2)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)
    act_on(admin_client, shop.Customer, "push", *[make_shopper(number) for number in range(3)])
    run = SyncRun.objects.get()
    lost(monkeypatch, settings, how)
    services.go_on(run.pk, lambda: False)
    Customer.objects.update(state="SYNCED", due_at=None, waiting_since=None)
    finish_if_done(run.pk)
    run.refresh_from_db()
    assert run.error.startswith("Not all was gathered. ")
    assert run.state == "PARTIAL"


def test_keys_of_any_type_and_children_are_found_by_slices(
    sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    sources(Device, Account, Worker)
    monkeypatch.setattr(gathering, "SLICE", 2)
    for number in range(5):
        Device.objects.create(email=f"d{number}@example.com")
        Account.objects.create(login=f"Ärger/{number}", email=f"a{number}@example.com")
        Worker.objects.create(email=f"w{number}@example.com")
    for model in (Device, Account, Worker, Person, Colleague):
        run = services.push(services.ObjectSelection(model._default_manager.all()), kind=Customer)
        assert (run.total, run.scope["looked_at"]) == (5, 5), model


def test_what_a_join_repeats_is_sent_once(admin_client: Client) -> None:
    shopper = make_shopper()
    for number in (7, 8, 9):
        make_signup(shopper, number)
    repeated = shop.Customer.objects.filter(signups__confirmed=True)
    assert repeated.count() == 3
    assert services.push(services.ObjectSelection(repeated), kind=Customer).total == 1
