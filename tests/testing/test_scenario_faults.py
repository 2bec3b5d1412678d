"""Fault rules, scenario settings and the counts of traffic: no sockets."""

from typing import Any

import pytest

from blueshift_sync.testing.faults import Faults
from blueshift_sync.testing.scenario import Scenario
from blueshift_sync.testing.traffic import RequestLog, RollingSecond
from blueshift_sync.testing.values import ScenarioError


def struck(faults: Faults, times: int, endpoint: str = "LIST_ADD", path: str = "/x/7") -> list[bool]:
    return [faults.strike(endpoint, "PUT", path).rule is not None for _ in range(times)]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [True, True, True, True]),
        ({"next": 2}, [True, True, False, False]),
        ({"nth": 3}, [False, False, True, False]),
        ({"share": 0}, [False, False, False, False]),
        ({"share": 1}, [True, True, True, True]),
    ],
)
def test_which_calls_a_rule_strikes(selection: dict[str, Any], expected: list[bool]) -> None:
    assert struck(Faults([{"fault": "reset", **selection}]), 4) == expected


def test_a_share_is_the_same_calls_with_the_same_seed() -> None:
    rules = [{"fault": "reset", "share": 0.3}]
    one = struck(Faults(rules, seed=1), 1000)
    assert one == struck(Faults(rules, seed=1), 1000)
    assert one != struck(Faults(rules, seed=2), 1000)
    assert 200 < sum(one) < 400


@pytest.mark.parametrize("target", [{"endpoint": "LIST_ADD"}, {"path": "/x/*"}, {"method": "PUT"}])
def test_a_rule_is_only_about_the_calls_it_names(target: dict[str, str]) -> None:
    faults = Faults([{"fault": "reset", "nth": 2, **target}])
    assert faults.strike("CUSTOMERS_BULK", "POST", "/y").rule is None
    assert struck(faults, 2) == [False, True]


def test_latencies_add_up_and_the_first_other_fault_ends_the_search() -> None:
    faults = Faults(
        [
            {"fault": "latency", "seconds": 1},
            {"fault": "latency", "seconds": [2, 3]},
            {"fault": "empty", "next": 1},
            {"fault": "reset", "next": 1},
        ]
    )
    strikes = [faults.strike("LIST_ADD", "PUT", "/x") for _ in range(3)]
    assert [strike.rule and strike.rule.fault for strike in strikes] == ["empty", "reset", None]
    assert all(3 <= strike.delay <= 4 for strike in strikes)
    assert strikes[0].delay != strikes[1].delay


def test_a_rule_added_later_leaves_the_counts_of_the_others() -> None:
    faults = Faults([{"fault": "reset", "next": 1}])
    assert struck(faults, 2) == [True, False]
    faults.add({"fault": "cut", "nth": 2})
    assert struck(faults, 2) == [False, True]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"call_per_second": 5},
            'Unknown key "call_per_second" in the scenario: did you mean "calls_per_second"?',
        ),
        ({"calls_per_second": 0}, '"calls_per_second" in the scenario must be a whole number of at least 1, or null.'),
        (
            {"calls_per_second": True},
            '"calls_per_second" in the scenario must be a whole number of at least 1, or null.',
        ),
        ({"nulls": "maybe"}, '"nulls" in the scenario must be "store" or "keep" or "reject".'),
        ({"api_keys": []}, '"api_keys" in the scenario must be a list of texts, with at least one.'),
        ({"keep": 1}, '"keep" in the scenario must be true or false.'),
        (
            {"lists": {"news": {}}},
            '"lists" in the scenario must be an object whose keys are list ids, such as {"35869": {"name": "News"}}.',
        ),
        ({"lists": {"7": {"source": "phone"}}}, '"source" in list 7 must be "email" or "customer_id".'),
        ({"faults": {}}, '"faults" in the scenario must be a list of rules.'),
        ({"faults": ["reset"]}, 'fault rule 1 must be an object such as {"fault": "reset", "next": 1}.'),
        (
            {"faults": [{"fault": "reset"}, {"fault": "status"}]},
            '"status" is missing in fault rule 2: the fault "status" needs it.',
        ),
        (
            {"faults": [{"fault": "latency", "seconds": [2, 1]}]},
            '"seconds" in fault rule 1 must be a number of seconds or [least, most].',
        ),
        (
            {"faults": [{"fault": "reset", "next": 1, "nth": 2}]},
            'fault rule 1 may have only one of "next", "nth" and "share".',
        ),
        ({"faults": [{"fault": "reset", "status": 500}]}, 'Unknown key "status" in fault rule 1:'),
        ({"faults": [{"fault": "fire"}]}, '"fault" in fault rule 1 must be one of latency,'),
        ([], "A scenario must be a JSON object"),
    ],
)
def test_a_wrong_scenario_is_explained_in_a_sentence(settings: Any, sentence: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario().changed(settings)
    assert str(caught.value).startswith(sentence)


def test_a_scenario_shows_its_keys_nowhere() -> None:
    scenario = Scenario().changed({"api_keys": ["very-secret"]})
    assert "very-secret" not in repr(scenario)
    assert "very-secret" not in str(scenario.public())


def test_a_rolling_second_counts_what_is_less_than_a_second_old() -> None:
    second = RollingSecond()
    assert [second.count(at) for at in (0.0, 0.5, 0.999, 1.0, 1.5, 3.0)] == [1, 2, 3, 3, 3, 1]
    assert second.peak == 3


def test_the_request_log_is_bounded() -> None:
    log = RequestLog(2)
    for path in ("/a", "/b", "/c"):
        log.add(path=path)
    assert [(entry["id"], entry["path"]) for entry in log.since(0)] == [(2, "/b"), (3, "/c")]
    assert [entry["id"] for entry in log.since(2)] == [3]
    log.resize(1)
    assert [entry["id"] for entry in log.since(0)] == [3]
    assert log.total == 3
