"""In CI nothing is skipped unnoticed."""

import pytest

#: A suite in which something that a test needs isn't there.
SUITE = """
import pytest

def test_that_runs():
    pass

def test_that_does_not():
    pytest.importorskip("a_driver_that_nobody_has")
"""


@pytest.mark.parametrize(("ci", "status"), [("true", pytest.ExitCode.TESTS_FAILED), ("", pytest.ExitCode.OK)])
def test_a_skipped_test_fails_in_ci_only(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, status: int
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makepyfile(SUITE)
    run = pytester.runpytest("-p", "tests.no_skips", "-p", "no:django")
    assert run.ret == status
    run.assert_outcomes(passed=1, skipped=1)
    assert ("1 did not: that is a failure" in run.stdout.str()) is bool(ci)
