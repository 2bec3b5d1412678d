"""Runs in the trial's sites: a runner of Django tests that writes what became of each into the file OUTCOMES."""

from __future__ import annotations

import json
import os
import random
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner


class Outcomes(unittest.TextTestResult):
    """Notes one word for each test; of subtests the worst."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.outcomes: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.outcomes.setdefault(test.id(), "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.outcomes[test.id()] = "failed"

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.outcomes[test.id()] = "error"

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.outcomes[test.id()] = "failed"

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.outcomes[test.id()] = "skipped"

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.outcomes[test.id()] = "failed as expected"

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self.outcomes[test.id()] = "passed unexpectedly"


class Runner(DiscoverRunner):
    """Ends well whatever the tests say: it is their sameness before and after that counts."""

    def get_resultclass(self) -> type[Outcomes]:
        return Outcomes

    def build_suite(self, *args: Any, **options: Any) -> Any:
        # Some projects' tests draw lots.
        random.seed(0)
        return super().build_suite(*args, **options)

    def suite_result(self, suite: Any, result: Any, **options: Any) -> int:
        Path(os.environ["OUTCOMES"]).write_text(json.dumps(result.outcomes, indent=1, sort_keys=True))
        return 0
