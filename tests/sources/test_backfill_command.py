"""What a backfill says beforehand, and of what it could not do."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Person, Signup

from .backfills import backfill, make_people, read_and_changed
from .conftest import Register
from .helpers import mirrored

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class TestDryRun:
    @pytest.fixture
    def drift(self, registered: Register) -> tuple[Person, Person, Person]:
        @registered(Person)
        class People(CustomerSource):
            email = "email"
            firstname = "name"

        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = 7

        changed, gone = make_people(2, name="Ada")
        backfill()
        Person.objects.filter(pk=changed.pk).update(name="Augusta")
        Person.objects.filter(pk=gone.pk)._raw_delete("default")
        new = make_people(1)[0]
        Signup.objects.bulk_create([Signup(person=new), Signup(person=changed)])
        return new, changed, gone

    def test_it_says_what_would_change_and_writes_nothing(
        self, drift: tuple[Person, ...], writes: Callable[..., list[str]]
    ) -> None:
        out = Terminal()
        assert writes(lambda: call_command("blueshift_backfill", dry_run=True, stdout=out)) == []
        assert "site.Person (customers): 1 new, 1 changed, 1 gone\n" in out.getvalue()
        assert f'  {drift[1].pk}  firstname: "Ada" → "Augusta"\n' in out.getvalue()
        assert "site.Signup (list memberships): 2 new, 0 changed, 0 gone\n" in out.getvalue()
        assert out.getvalue().endswith("Nothing was written.\n")

    @pytest.mark.usefixtures("drift")
    def test_what_is_not_a_terminal_gets_no_personal_data(self, caplog: pytest.LogCaptureFixture) -> None:
        said = backfill(dry_run=True)
        assert "\n  firstname\n" in said
        assert "Ada" not in said + caplog.text

    @pytest.mark.usefixtures("drift")
    def test_the_run_itself_then_changes_as_much(self) -> None:
        assert read_and_changed("site.Person", "site.Signup") == (4, 5)
        said = backfill("site.Person", "site.Signup", dry_run=True)
        assert said.count("0 new, 0 changed, 0 gone") == 2


def refuse(key: int) -> Callable[..., Any]:
    """As a database that fails whenever somebody asks it for the customer of this object."""

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "_customer" in sql and str(key) in map(str, params or ()):
            raise DatabaseError("No.")
        return execute(sql, params, many, context)

    return wrapper


class TestTrouble:
    @pytest.fixture
    def people_of_all_kinds(self, registered: Register) -> None:
        @registered(Person)
        class People(CustomerSource):
            email = "email"
            attributes = {"length": lambda person: 1 / len(person.name)}

    @pytest.mark.usefixtures("people_of_all_kinds")
    def test_a_failing_object_is_counted_and_mirrored_as_failed(self) -> None:
        make_people(3, name="Ada")
        failing = make_people(1)[0]
        for changed in (4, 0):
            assert backfill("site.Person") == (
                f"Read 4 objects; {changed} records of the mirror were changed.\n"
                "1 objects can't be sent as they are; their records or the log say why.\n"
            )
        assert mirrored(failing).error_code == "source_error"

    @pytest.mark.usefixtures("people_of_all_kinds")
    def test_an_object_that_the_mirror_refuses_is_left_out_logged_and_an_error(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_people(3, name="Ada")
        bad = Person.objects.all()[1]
        with (
            connection.execute_wrapper(refuse(bad.pk)),
            pytest.raises(CommandError, match=r"^1 objects could not be captured\."),
        ):
            backfill("site.Person")
        assert Customer.objects.count() == 2
        assert f"site.Person {bad.pk} could not be captured (DatabaseError)" in caplog.text
        assert bad.email not in caplog.text
        assert read_and_changed("site.Person") == (3, 1)

    def test_a_model_without_a_source(self) -> None:
        with pytest.raises(CommandError, match="has no source"):
            backfill("site.Visit")
