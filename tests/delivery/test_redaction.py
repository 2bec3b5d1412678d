"""Answers that are hard to mask are kept all the same."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.delivery.redaction import Redaction

ADDRESS = "ada@example.com"


@pytest.fixture
def redaction(settings: Any) -> Redaction:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["email"]}
    return Redaction.of({"email": ADDRESS})


def test_half_a_character_stays_an_escape(redaction: Redaction) -> None:
    """As text no database would take it."""
    assert redaction.of_response(rf'{{"name":"\ud83d","email":"{ADDRESS}"}}') == r'{"name":"\ud83d","email":"***"}'


@pytest.mark.parametrize("depth", [500, 5000])
def test_an_answer_that_is_nested_too_deeply_is_masked_as_text(redaction: Redaction, depth: int) -> None:
    body = "[" * depth + f'"{ADDRESS}"' + "]" * depth
    assert redaction.of_response(body) == body.replace(ADDRESS, "***")
