"""The pages of the documentation and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*) *(?P<name>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that its first line names, if any, and the heading above it."""

    language: str
    name: str
    text: str
    section: str


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(path: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    page = read(path)
    found = [
        Block(match["language"], match["name"], dedent(match["text"]), section_at(page, match.start()))
        for match in _FENCED.finditer(page)
    ]
    assert 2 * len(found) == page.count("```"), f"{path} has a fenced block that can't be told apart."
    return found


def section_at(page: str, position: int) -> str:
    """The heading above this position; a comment in a block is none."""
    return re.findall(r"^#+ (.*)$", _FENCED.sub("", page[:position]), re.M)[-1]


def prose(path: str) -> str:
    """The page without its fenced blocks."""
    return _FENCED.sub("", read(path))


def inline_code(path: str) -> list[str]:
    return re.findall(r"`([^`]+)`", prose(path))


def links(path: str) -> list[str]:
    """The targets of all links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(path))


def anchors(path: Path) -> set[str]:
    """What a link to this page may have after the #: as GitHub makes it of the headings, and what is written as one."""
    text = _FENCED.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {*re.findall(r'<a id="([\w-]+)">', text)} | {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


def table(path: str, heading: str) -> dict[str, list[str]]:
    """The table whose header row starts with `heading`: its rows by their first cell, without backticks."""
    lines = read(path).split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {row[0].strip("`"): row for row in rows}
