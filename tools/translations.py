"""Keeps blueshift_sync/locale in step with the strings of the package. Needs no gettext, only the development packages.

Usage: `python tools/translations.py` adds new strings to each django.po, drops those that are gone, compiles django.mo,
and lists what is still to be translated. Write the translations into the .po files and run it again.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polib

PACKAGE = Path(__file__).resolve().parent.parent / "blueshift_sync"
LOCALE = PACKAGE / "locale"
#: The languages with the rule by which each chooses between singular and plural.
LANGUAGES = {"de": "nplurals=2; plural=(n != 1);", "fr": "nplurals=2; plural=(n > 1);"}
SINGULAR = {"_", "gettext", "gettext_lazy", "gettext_noop"}
PLURAL = {"ngettext", "ngettext_lazy"}
_CALL = re.compile(r"\b(?:_|n?gettext)\((?:(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\w.]+)(?:, ?)?)+\)", re.S)


class Message(NamedTuple):
    """A string of the package; `plural` is empty where it has none."""

    singular: str
    plural: str = ""


def messages() -> list[Message]:
    """Every string of the package that is to be translated, once each, in the order of the files."""
    found = [message for path in sorted(PACKAGE.rglob("*.py")) for message in _in_python(path.read_text("utf-8"))]
    for path in sorted(PACKAGE.rglob("*.html")):
        found += _in_template(path.read_text("utf-8"))
    return list(
        {message.singular: message for message in sorted(found, key=lambda message: bool(message.plural))}.values()
    )


def _in_python(source: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if name in SINGULAR and texts:
            yield Message(texts[0])
        elif name in PLURAL:
            yield Message(texts[0], texts[1])


def _in_template(source: str) -> Iterator[Message]:
    from django.utils.translation.template import templatize  # noqa: PLC0415 - the rest needs no Django

    for call in _CALL.findall(re.sub(r"\bu(?=['\"])", "", templatize(source))):
        yield from _in_python(call)


def update(language: str) -> list[str]:
    """Brings a language's files into step with the package. Returns what isn't translated."""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    old = {entry.msgid: entry for entry in polib.pofile(str(path))} if path.exists() else {}
    new = polib.POFile(wrapwidth=0)
    new.metadata = {
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Language": language,
        "Plural-Forms": LANGUAGES[language],
    }
    for message in messages():
        known = old.get(message.singular)
        new.append(known if known and known.msgid_plural == message.plural else _entry(message))
    new.save(str(path))
    new.save_as_mofile(str(path.with_suffix(".mo")))
    return [entry.msgid for entry in new if not entry.translated()]


def _entry(message: Message) -> polib.POEntry:
    if not message.plural:
        return polib.POEntry(msgid=message.singular)
    return polib.POEntry(msgid=message.singular, msgid_plural=message.plural, msgstr_plural={0: "", 1: ""})


if __name__ == "__main__":
    missing = {language: update(language) for language in LANGUAGES}
    for language, texts in missing.items():
        print(f"{language}: {len(texts)} to be translated", *texts, sep="\n  ")
    sys.exit(any(missing.values()))
