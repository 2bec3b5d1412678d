"""Every error code that the package can produce is explained. The codes are looked for in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from django.utils import translation

import blueshift_sync
from blueshift_sync.admin.explanations import EXPLANATIONS, explain, in_words
from blueshift_sync.client import CallOutcome
from blueshift_sync.client.answers import _STATUSES
from blueshift_sync.models import SyncState

PACKAGE = Path(blueshift_sync.__file__).parent
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
#: What stands beside a sentence, and is no code.
NO_CODES = {"blueshift_sync"}
CODE_NAMES = {"code", "error_code"}
TAKES_A_CODE = {"HeldBack", "_Fate", "refuse"}


def codes_in(tree: ast.AST) -> Iterator[str]:
    """What stands beside a sentence, is given to something named as a code, or is a constant named as it reads."""
    for node in ast.walk(tree):
        yield from codes_beside_sentences(node)
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments) if name in TAKES_A_CODE:
                yield from (code for argument in arguments for code in text_of(argument))
            case ast.keyword(arg=str(name), value=value) if name in CODE_NAMES:
                yield from text_of(value)
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from codes_assigned(target, value)
            case ast.For(target=target, iter=ast.Tuple(elts=values)):
                yield from (code for value in values for code in codes_assigned(target, value))
            case ast.Dict(keys=keys, values=values):
                yield from (code for pair in zip(keys, values, strict=True) for code in codes_under_a_key(*pair))


def codes_under_a_key(key: ast.expr | None, value: ast.expr) -> Iterator[str]:
    if key is not None and set(text_of(key)) & CODE_NAMES:
        yield from text_of(value)


def codes_assigned(target: ast.expr, value: ast.expr) -> Iterator[str]:
    match target, value:
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            for each, given in zip(targets, values, strict=True):
                yield from codes_assigned(each, given)
        case ((ast.Attribute(attr=name) | ast.Name(id=name)), ast.expr()):
            if name in CODE_NAMES or ("_" in name and list(text_of(value)) == [name.lower()]):
                yield from text_of(value)


def codes_beside_sentences(node: ast.AST) -> Iterator[str]:
    nodes = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
    for pair in pairwise(nodes):
        for one, other in (pair, reversed(pair)):
            if is_sentence(other):
                yield from text_of(one)


def text_of(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from (*text_of(node.body), *text_of(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
        yield node.value


def is_sentence(node: ast.expr) -> bool:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
    return re.match(r"[A-Z].* .*\.$", text, re.DOTALL) is not None


def codes_of_the_package() -> set[str]:
    found = {*SyncState.EXCLUDED_CODES, *SyncState.UNSENDABLE_CODES}
    found |= {outcome.lower() for outcome in _STATUSES.values() if outcome is not CallOutcome.SERVER_ERROR}
    found |= {CallOutcome.NOT_SENT.lower(), CallOutcome.NO_ANSWER.lower()}
    for layer in ("client", "delivery", "sources", "models"):
        for file in (PACKAGE / layer).rglob("*.py"):
            found |= set(codes_in(ast.parse(file.read_text(encoding="utf-8"))))
    return found - NO_CODES


def test_every_code_is_explained() -> None:
    codes = codes_of_the_package()
    # Found where they stand; were they not, this would prove nothing.
    assert codes >= {"timeout", "worker_died", "list_deleted", "approval_needed", "cancelled", "lease_over"}
    assert codes - EXPLANATIONS.keys() == set()


def test_nothing_is_explained_that_is_never_said() -> None:
    assert EXPLANATIONS.keys() - codes_of_the_package() == set()


@pytest.mark.parametrize(
    "code", ["http_302", "http_418", "http_500", "http_999", "user_identifier_missing", "", "http_"]
)
def test_a_code_that_somebody_else_made_is_explained_in_general(code: str) -> None:
    meaning, advice = explain(code)
    assert str(meaning).endswith(".")
    assert str(advice).endswith(".")


@pytest.mark.parametrize("code", sorted(EXPLANATIONS))
def test_explanations_are_sentences(code: str) -> None:
    assert all(re.fullmatch(r"[A-Z].+\.", str(text), re.DOTALL) for text in explain(code))


def test_what_blueshift_calls_a_problem_is_named() -> None:
    assert "“phone_number”" in str(explain("phone_number").meaning)
    assert "“phone_number”" in str(explain("phone_number").advice)


def test_a_stored_sentence_is_told_in_the_viewers_language_too() -> None:
    stored = "The call timed out."
    assert in_words("timeout", stored) == stored
    with translation.override("de"):
        told = in_words("timeout", stored)
        assert told.startswith(str(EXPLANATIONS["timeout"].meaning))
        assert told.endswith(stored)
        assert in_words("phone_number", "is invalid") == "is invalid"
