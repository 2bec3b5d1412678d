"""What an account accepts and how it merges: no sockets."""

from typing import Any

import pytest

from blueshift_sync.testing.account import Account
from blueshift_sync.testing.scenario import Scenario


def account(**settings: Any) -> Account:
    return Account(Scenario().changed(settings))


def error_of(customer: dict[str, Any], **settings: Any) -> dict[str, Any] | None:
    _, errors = account(**settings).upsert([customer])
    return errors[0]["error_data"] if errors else None


@pytest.mark.parametrize(
    "identifiers",
    [{}, {"email": None}, {"email": ""}, {"customer_id": None}, {"customer_id": ""}, {"uuid": "u"}],
)
def test_a_customer_without_an_identifier_is_refused(identifiers: dict[str, Any]) -> None:
    assert error_of({"lastname": "Williams", **identifiers}) == {
        "user_identifier_missing": ["No valid identifier found"]
    }


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("email", "a" * 58 + "@b.com", "a" * 59 + "@b.com"),
        ("email", "a@b", "no-at-sign"),
        ("customer_id", "c" * 128, "c" * 129),
        ("customer_id", "12", 12),
        ("firstname", "f" * 64, "f" * 65),
        ("lastname", "l" * 64, "l" * 65),
        ("lastname", "", 7),
        ("phone_number", "+919742888933", "919742888933"),
        ("phone_number", "+4930123456", "+0930123456"),
        ("gender", "unknown", "other"),
        ("gender", "male", None),
        ("joined_at", "2011-10-11T19:58:17Z", "yesterday"),
        ("joined_at", "2011-10-11", 1318363097),
        ("unsubscribed", True, "yes"),
        ("unsubscribed", "true", None),
        ("unsubscribed_sms", False, 0),
        ("birth_month", 12, 13),
        ("birth_year", 1980, "1980"),
        ("subscription_groups", [{"id": "news", "subscribed": False}], [{"id": "news", "subscribed": "no"}]),
        ("subscription_groups", [], {"news": True}),
        ("subscription_groups", [{"id": "n", "subscribed": True}], [{"subscribed": True}]),
        ("plan", "gold", None),
    ],
)
def test_a_documented_limit(field: str, good: Any, bad: Any) -> None:
    known = {"customer_id": "1", "email": "a@example.com"}
    assert error_of({**known, field: good}) is None
    refused = error_of({**known, field: bad}, nulls="reject")
    assert refused is not None
    assert list(refused) == [field]


def test_all_wrong_fields_of_a_customer_are_named() -> None:
    wrong = error_of({"customer_id": "1", "gender": "x", "unsubscribed": 1, "bsft_bucket": 3, "_bsft_x": 1})
    assert wrong is not None
    assert set(wrong) == {"gender", "unsubscribed", "bsft_bucket", "_bsft_x"}


def test_the_longest_email_is_a_setting() -> None:
    assert error_of({"email": "a" * 94 + "@b.com"}, email_max_length=100) is None


def test_refused_customers_are_echoed_in_step_with_their_errors() -> None:
    refused, errors = account().upsert(
        [
            {"email": "a@example.com"},
            {"lastname": "x"},
            {"customer_id": "1"},
            {"email": "b@example.com", "gender": "?"},
        ]
    )
    assert refused == [
        {"lastname": "x", "customer_id": None},
        {"email": "b@example.com", "gender": "?", "customer_id": None},
    ]
    assert [list(error["error_data"]) for error in errors] == [["user_identifier_missing"], ["gender"]]
    assert {error["status"] for error in errors} == {400}


@pytest.mark.parametrize(
    ("first", "later"), [("12", 12), (12, "12"), (1, True), ([1], {"a": 1}), ({"a": 1}, [1]), (True, 1)]
)
def test_the_first_payload_fixes_the_type_of_an_attribute(first: Any, later: Any) -> None:
    strict = account()
    assert strict.upsert([{"customer_id": "1", "size": first}]) == ([], [])
    _, errors = strict.upsert([{"customer_id": "2", "size": later}])
    assert list(errors[0]["error_data"]) == ["size"]
    assert strict.upsert([{"customer_id": "2", "size": first}]) == ([], [])


def test_null_fixes_no_type_and_a_refused_customer_fixes_none() -> None:
    strict = account()
    strict.upsert([{"customer_id": "1", "size": None}, {"customer_id": "2", "size": "12", "gender": "?"}])
    assert strict.upsert([{"customer_id": "3", "size": 12}]) == ([], [])
    assert strict.upsert([{"customer_id": "3", "size": 12.5}]) == ([], [])
    assert strict.upsert([{"customer_id": "3", "size": None}]) == ([], [])


def test_type_conflicts_can_be_ignored() -> None:
    lax = account(type_conflicts="ignore")
    assert lax.upsert([{"customer_id": "1", "size": "12"}, {"customer_id": "2", "size": 12}]) == ([], [])


def stored(kept: Account) -> list[tuple[Any, Any]]:
    return [(customer["customer_id"], customer["email"]) for customer in kept.customers.values()]


def test_an_update_keeps_what_was_not_sent() -> None:
    kept = account()
    kept.upsert([{"customer_id": "1", "firstname": "Ann", "plan": "gold"}])
    kept.upsert([{"customer_id": "1", "plan": ""}])
    (customer,) = kept.customers.values()
    assert (customer["firstname"], customer["plan"]) == ("Ann", "")


@pytest.mark.parametrize(("nulls", "plan"), [("store", None), ("keep", "gold"), ("reject", "gold")])
def test_what_null_does_is_a_setting(nulls: str, plan: str | None) -> None:
    kept = account(nulls=nulls)
    kept.upsert([{"customer_id": "1", "plan": "gold"}])
    kept.upsert([{"customer_id": "1", "plan": None}])
    assert [customer["plan"] for customer in kept.customers.values()] == [plan]


def test_null_and_empty_identifiers_erase_nothing() -> None:
    kept = account(nulls="store")
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}])
    kept.upsert([{"customer_id": "1", "email": None}])
    kept.upsert([{"customer_id": "", "email": "a@example.com"}])
    assert stored(kept) == [("1", "a@example.com")]


def test_an_email_is_matched_in_any_case() -> None:
    kept = account()
    kept.upsert([{"email": "a@example.com"}])
    kept.upsert([{"email": "A@Example.com", "firstname": "Ann"}])
    assert stored(kept) == [(None, "A@Example.com")]


def test_a_new_customer_id_goes_to_the_customer_with_only_the_email() -> None:
    kept = account()
    kept.upsert([{"email": "a@example.com"}])
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}])
    assert stored(kept) == [("1", "a@example.com")]


def test_two_customer_ids_may_share_an_email() -> None:
    kept = account()
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}])
    kept.upsert([{"customer_id": "2", "email": "a@example.com"}])
    kept.upsert([{"email": "a@example.com", "firstname": "Ann"}])
    assert stored(kept) == [("1", "a@example.com"), ("2", "a@example.com")]
    assert [customer.get("firstname") for customer in kept.customers.values()] == ["Ann", None]


def test_a_changed_email_is_found_and_the_old_one_is_not() -> None:
    kept = account()
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}])
    kept.upsert([{"customer_id": "1", "email": "b@example.com"}])
    assert kept.matching("email", "a@example.com") == []
    assert len(kept.matching("email", "b@example.com")) == 1


def test_a_known_uuid_comes_first_and_an_unknown_one_is_ignored() -> None:
    kept = account()
    kept.upsert([{"customer_id": "1"}, {"customer_id": "2"}])
    (uuid, _) = kept.customers
    kept.upsert([{"uuid": uuid, "customer_id": "one"}, {"uuid": "unknown", "customer_id": "3"}])
    assert stored(kept) == [("one", None), ("2", None), ("3", None)]
    _, errors = kept.upsert([{"uuid": uuid, "customer_id": "2"}])
    assert errors == [{"status": 409, "error_data": {"customer_id": ["has already been taken"]}}]


def test_one_customer_twice_in_a_call_is_a_conflict() -> None:
    twice = [{"customer_id": "1", "email": "a@example.com"}, {"email": "A@example.com", "firstname": "Ann"}]
    refused, errors = account().upsert(twice)
    assert [error["status"] for error in errors] == [409]
    assert refused == [{"email": "A@example.com", "firstname": "Ann", "customer_id": None}]
    assert account(duplicates="accept").upsert(twice) == ([], [])


def test_the_first_or_every_match_is_deleted_off_all_lists() -> None:
    kept = account()
    kept.put_list(7)
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}, {"customer_id": "2", "email": "a@example.com"}])
    kept.add_members(7, ["a@example.com"])
    kept.remove({"email": "a@example.com"}, every=False)
    assert stored(kept) == [("2", "a@example.com")]
    kept.remove({"email": "A@example.com"}, every=True)
    assert stored(kept) == []
    assert kept.members(kept.lists[7]) == []


def test_a_member_stays_one_when_the_email_changes() -> None:
    kept = account()
    kept.put_list(7)
    kept.upsert([{"customer_id": "1", "email": "a@example.com"}])
    kept.add_members(7, ["a@example.com"])
    kept.upsert([{"customer_id": "1", "email": "b@example.com"}])
    assert kept.members(kept.lists[7]) == ["b@example.com"]
    kept.remove_members(7, ["B@example.com", "nobody@example.com"])
    assert kept.members(kept.lists[7]) == []


@pytest.mark.parametrize(
    ("setting", "errors", "members"),
    [
        ("ignore", [], []),
        ("create", [], ["9"]),
        ("report", [{"identifier_value": "9", "detail": "User not found"}], []),
    ],
)
def test_unknown_identifiers_are_recorded(setting: str, errors: list[Any], members: list[str]) -> None:
    kept = account(unknown_identifiers=setting)
    kept.put_list(7, source="customer_id")
    assert kept.add_members(7, ["9"]) == errors
    assert kept.members(kept.lists[7]) == members
    assert list(kept.unknown_identifiers) == [{"list_id": 7, "customer_id": "9"}]


def test_an_account_that_keeps_nothing_still_judges() -> None:
    lax = account(keep=False)
    refused, errors = lax.upsert([{"customer_id": "1"}, {"lastname": "x"}, {"customer_id": "1"}])
    assert [error["status"] for error in errors] == [400, 409]
    assert len(refused) == 2
    assert lax.customers == {}
