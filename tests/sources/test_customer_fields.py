"""What a customer's row says: values left out and sent, subscription groups, and who is included."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from project.shop.models import Customer as Shopper
from project.shop.models import Order
from tests.site.models import Person

from .conftest import Register
from .helpers import bring_into_step, mirrored, mistake, start_sending, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        customer_id = "number"
        email = "email"
        firstname = "name"
        attributes = {"data": "data", "chief": "manager__name"}
        send_null = {"chief"}

        def get_subscription_groups(self, person: Person) -> dict[Any, Any]:
            return {"sg-news": person.newsletter, 7: True}

        def include(self, person: Person) -> bool:
            return person.active


def save(**fields: Any) -> Person:
    return Person.objects.create(**{"number": "1", "email": "ada@example.com", "name": "Ada", **fields})


@pytest.mark.usefixtures("people")
def test_none_is_left_out_unless_send_null_names_it() -> None:
    payload = told(save(data=None, manager=None))
    assert "data" not in payload
    assert payload["chief"] is None


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("value", ["", 0, False, [], {}])
def test_empty_values_are_values(value: Any) -> None:
    assert told(save(data=value))["data"] == value


@pytest.mark.usefixtures("people")
def test_an_empty_name_is_a_value_and_one_that_the_source_does_not_know_is_none() -> None:
    payload = told(save(name=""))
    assert payload["firstname"] == ""
    assert "lastname" not in payload


def test_standard_fields_are_sent_as_null_where_send_null_names_them(registered: Register) -> None:
    @registered(Person)
    class Source(CustomerSource):
        email = "email"
        firstname = lambda person: person.name or None  # noqa: E731
        send_null = {"firstname"}

    person = save(name="")
    assert told(person)["firstname"] is None
    person.name = "Ada"
    person.save()
    assert told(person)["firstname"] == "Ada"


@pytest.fixture
def identify(registered: Register) -> Any:
    """Registers people under the customer ID that is given."""

    def by(customer_id: Any) -> Person:
        registered(Person)(type("Source", (CustomerSource,), {"email": "email", "customer_id": lambda _: customer_id}))
        return save()

    return by


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.0, "7"),
        (-7.0, "-7"),
        (Decimal("7"), "7"),
        (Decimal("7.00"), "7"),
        (Decimal("7E+2"), "700"),
        (Decimal("1234567890" * 4), "1234567890" * 4),
        ("7.0", "7.0"),
        ("False", "False"),
    ],
)
def test_a_number_is_written_as_the_whole_number_that_it_is(identify: Any, value: Any, text: str) -> None:
    assert told(identify(value))["customer_id"] == text


@pytest.mark.parametrize("value", [False, True])
def test_a_boolean_is_no_customer_id(identify: Any, value: bool) -> None:
    assert mistake(identify(value)) == (
        "value_not_sendable",
        "Can't send field 'customer_id': it must be text, and this is true or false.",
    )


@pytest.mark.parametrize("value", [7.5, 1e22, Decimal("0.1"), Decimal("1E+400"), Decimal("1E+999999")])
def test_a_number_that_is_not_whole_is_no_customer_id(identify: Any, value: Any) -> None:
    code, sentence = mistake(identify(value))
    assert code == "value_not_sendable"
    assert sentence.startswith("Can't send field 'customer_id': ")


@pytest.mark.usefixtures("people")
def test_an_empty_customer_id_is_none() -> None:
    people = [save(number=""), save(number=None), save(number="")]
    assert [mirrored(person).customer_id for person in people] == [None] * 3
    assert "customer_id" not in told(people[0])


@pytest.mark.usefixtures("people")
def test_neither_customer_id_nor_email_fails_with_a_sentence_until_there_is_one() -> None:
    person = save(number=None, email="")
    assert mistake(person) == (
        "identifier_missing",
        "Neither customer ID nor e-mail: Blueshift needs one of them to know the customer.",
    )
    person.email = "ada@example.com"
    person.save()
    assert told(person)["email"] == "ada@example.com"


@pytest.mark.usefixtures("people")
def test_subscription_groups_are_listed_by_id_whatever_their_keys() -> None:
    groups = told(save(newsletter=False))["subscription_groups"]
    assert groups == [{"id": "7", "subscribed": True}, {"id": "sg-news", "subscribed": False}]


@pytest.mark.usefixtures("people")
def test_a_subscription_that_is_not_known_is_left_out_and_nobody_is_unsubscribed_by_it() -> None:
    assert told(save(newsletter=None))["subscription_groups"] == [{"id": "7", "subscribed": True}]


@pytest.mark.usefixtures("people")
def test_an_object_left_out_is_excluded_and_comes_back_when_it_is_included() -> None:
    person = save(active=False)
    row = mirrored(person)
    assert (row.state, row.error_code, row.due_at) == ("EXCLUDED", "excluded", None)
    assert row.error_message == "The source leaves this customer out."
    Person.objects.get().save()
    assert mirrored(person).version == row.version
    person.active = True
    person.save()
    assert told(person)["email"] == "ada@example.com"
    person.active = False
    person.save()
    assert mirrored(person).state == "EXCLUDED"


@pytest.mark.usefixtures("people")
def test_one_that_comes_back_as_blueshift_knows_it_is_in_step_at_once() -> None:
    person = save()
    bring_into_step(mirrored(person))
    for active in (False, True):
        person.active = active
        person.save()
    row = mirrored(person)
    assert (row.state, row.synced_version) == ("SYNCED", row.version)


@pytest.mark.usefixtures("people")
def test_being_left_out_wins_over_mistakes() -> None:
    person = save(active=False, number=None, email="")
    assert mirrored(person).error_code == "excluded"


def test_what_a_shop_tells_of_its_customer() -> None:
    shopper = Shopper.objects.create(customer_number="C-1", given_name="Ada", marketing_consent=True)
    Order.objects.create(customer=shopper, total="1200.50")
    payload = told(shopper)
    assert payload["customer_id"] == "C-1"
    assert (payload["orders"], payload["spent"], payload["vip"]) == (1, 1200.5, True)
    assert payload["shop_id"] == str(shopper.pk)
    assert payload["subscription_groups"] == [{"id": "sg-news", "subscribed": True}]
    assert "email" not in payload
    assert "phone_number" not in payload


@pytest.mark.usefixtures("people")
class TestWhileItIsSent:
    """A record that is being sent stays with its call; the version and the reason tell what comes after it."""

    @pytest.fixture
    def person(self) -> Person:
        person = save()
        start_sending(mirrored(person))
        return person

    def after(self, person: Person) -> Customer:
        row = Customer.objects.get()
        assert row.state == "SENDING"
        assert row.claim_token is not None
        assert (row.claimed_version, row.version) == (1, 2)
        return row

    def test_a_change(self, person: Person) -> None:
        person.name = "Bob"
        person.save()
        row = self.after(person)
        assert (row.firstname, row.error_code) == ("Bob", "")

    def test_being_left_out(self, person: Person) -> None:
        person.active = False
        person.save()
        assert self.after(person).error_code == "excluded"

    def test_a_mistake(self, person: Person) -> None:
        person.name = "n" * 300
        person.save()
        assert self.after(person).error_code == "value_not_sendable"

    def test_its_deletion(self, person: Person) -> None:
        person.delete()
        row = self.after(person)
        assert (row.error_code, row.source_id) == ("source_deleted", None)
