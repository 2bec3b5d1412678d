"""Echoed customers are matched to sent ones by the best evidence, and never by a guess."""

from typing import Any

import pytest

from blueshift_sync.client.matching import match


@pytest.mark.parametrize(
    ("sent", "echoes", "positions"),
    [
        pytest.param(
            [{"email": "a@x.com"}, {"customer_id": "2"}, {"lastname": "Doe"}],
            [{"lastname": "Doe", "customer_id": None}],
            [2],
            id="a null that was added does not count",
        ),
        pytest.param(
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b", "plan": None}],
            [1],
            id="nor does one in any other field",
        ),
        pytest.param(
            [{"customer_id": "7"}, {"customer_id": "8"}],
            [{"customer_id": 8}],
            [1],
            id="the customer ID is compared as text",
        ),
        pytest.param(
            [{"email": "Jane@X.com", "plan": "a"}, {"email": "john@x.com"}],
            [{"email": "JANE@x.com ", "plan": "changed"}],
            [0],
            id="e-mail addresses have no case, and identify without the other fields",
        ),
        pytest.param(
            [{"customer_id": "1", "email": "same@x.com"}, {"customer_id": "2", "email": "same@x.com"}],
            [{"customer_id": "2", "email": "same@x.com"}],
            [1],
            id="the customer ID decides before the e-mail address",
        ),
        pytest.param(
            [{"customer_id": "1", "email": "old@x.com"}, {"customer_id": "2", "email": "new@x.com"}],
            [{"customer_id": "1", "email": "new@x.com"}],
            [0],
            id="also where the e-mail address says otherwise",
        ),
        pytest.param(
            [{"uuid": "AB", "email": "a@x.com"}, {"uuid": "CD"}],
            [{"uuid": "cd"}],
            [1],
            id="the uuid identifies where nothing else does",
        ),
        pytest.param(
            [{"email": "same@x.com", "plan": "a"}, {"email": "same@x.com", "plan": "b"}],
            [{"email": "same@x.com", "plan": "b"}],
            [1],
            id="other fields tell customers with one e-mail address apart",
        ),
        pytest.param(
            [{"email": "same@x.com", "customer_id": "1"}, {"email": "same@x.com"}],
            [{"email": "same@x.com", "customer_id": None}],
            [1],
            id="the exact copy comes before the one that lost a field",
        ),
        pytest.param(
            [{"plan": "a", "name": "J"}, {"plan": "b", "name": "K"}],
            [{"plan": "b"}],
            [1],
            id="a lost field does not matter where one customer is left",
        ),
        pytest.param(
            [{"name": "twin"}, {"name": "twin"}, {"name": "other"}],
            [{"name": "twin"}, {"name": "twin"}],
            [0, 1],
            id="identical customers that all failed are taken in order",
        ),
        pytest.param(
            [{"name": "a"}, {"name": "b"}],
            [{"name": "changed"}, {"name": "also changed"}],
            [0, 1],
            id="if all failed, position is enough",
        ),
        pytest.param(
            [{"customer_id": "1"}, {"name": "b"}],
            ["nothing like a customer", {"customer_id": "1"}],
            [1, 0],
            id="what is left over belongs to the only one left",
        ),
        pytest.param([{"customer_id": "1", "tags": ("a", "b")}, {"customer_id": "2"}], [], [], id="nothing failed"),
    ],
)
def test_an_echo_finds_its_customer(sent: list[Any], echoes: list[Any], positions: list[int]) -> None:
    assert match(sent, echoes) == positions


@pytest.mark.parametrize(
    ("sent", "echoes"),
    [
        pytest.param([{"name": "twin"}, {"name": "twin"}], [{"name": "twin"}], id="one of two identical customers"),
        pytest.param([{"customer_id": "1"}, {"customer_id": "2"}], [{"customer_id": "3"}], id="never sent"),
        pytest.param([{"customer_id": "1"}], [{"customer_id": "2"}], id="another customer"),
        pytest.param(
            [{"customer_id": "1"}, {"email": "a@x.com"}],
            [{"customer_id": "3"}],
            id="an ID nobody had, though one is free",
        ),
        pytest.param(
            [{"customer_id": "1"}, {"customer_id": "2"}],
            [{"customer_id": "2"}, {"customer_id": "2"}],
            id="one echoed twice",
        ),
        pytest.param([{"customer_id": "1"}], [{"customer_id": "1"}, {}], id="more echoes than customers"),
        pytest.param([{"customer_id": "1"}, {"customer_id": "2"}], [{}], id="an empty echo"),
        pytest.param([{"customer_id": "1"}, {"customer_id": "2"}], [None], id="no customer at all"),
        pytest.param(
            [{"customer_id": "1", "email": "a@x.com"}, {"customer_id": "2", "email": "a@x.com"}],
            [{"email": "a@x.com"}],
            id="an e-mail address that two have",
        ),
    ],
)
def test_where_two_readings_are_possible_there_is_no_match(sent: list[Any], echoes: list[Any]) -> None:
    assert match(sent, echoes) is None
