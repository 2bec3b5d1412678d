"""German and French are complete, and what is shipped is what is written in the .po files."""

from __future__ import annotations

import re

import polib
import pytest
from django.test import Client
from django.utils import translation

from tools.translations import LANGUAGES, LOCALE, messages

EVERY_LANGUAGE = pytest.mark.parametrize("language", LANGUAGES)
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|\{\w*\}(?!\s*[”\"]?:)")


def entries(language: str) -> dict[str, polib.POEntry]:
    return {entry.msgid: entry for entry in polib.pofile(str(LOCALE / language / "LC_MESSAGES" / "django.po"))}


def texts(entry: polib.POEntry) -> list[tuple[str, str]]:
    """The entry's strings, each with its translation."""
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    return [(entry.msgid, entry.msgstr_plural[0]), (entry.msgid_plural, entry.msgstr_plural[1])]


@EVERY_LANGUAGE
def test_every_string_is_translated(language: str) -> None:
    known = entries(language)
    wanted = {message.singular: message.plural for message in messages()}
    assert {msgid: entry.msgid_plural for msgid, entry in known.items()} == wanted, "Run tools/translations.py."
    assert [msgid for msgid, entry in known.items() if entry.fuzzy or not all(done for _, done in texts(entry))] == []


@EVERY_LANGUAGE
def test_translations_have_the_placeholders_of_the_original(language: str) -> None:
    pairs = [pair for entry in entries(language).values() for pair in texts(entry)]
    assert pairs
    for original, translated in pairs:
        assert sorted(PLACEHOLDER.findall(translated)) == sorted(PLACEHOLDER.findall(original)), translated


@EVERY_LANGUAGE
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    compiled = polib.mofile(str(LOCALE / language / "LC_MESSAGES" / "django.mo"))
    written = entries(language)
    assert {entry.msgid: texts(entry) for entry in compiled} == {
        msgid: texts(entry) for msgid, entry in written.items()
    }


def test_a_string_in_a_template_and_one_in_python_are_found() -> None:
    found = {message.singular: message.plural for message in messages()}
    assert "Check the key now" in found
    assert found["%(count)s customer"] == "%(count)s customers"
    assert "customer list" in found


@pytest.mark.parametrize(("language", "heading"), [("de", "Kundenlisten"), ("fr", "Listes de clients")])
def test_the_admin_speaks_the_language_of_who_looks(admin_client: Client, language: str, heading: str) -> None:
    with translation.override(language):
        page = admin_client.get("/admin/blueshift_sync/", headers={"accept-language": language})
    assert heading in page.content.decode()
