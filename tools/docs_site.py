"""Makes a site of the documentation in var/docs, and checks it. A warning of Sphinx is an error, and so is a dead link.

Usage: `python tools/docs_site.py`, with the packages of requirements/docs.txt; `make docs` sees to them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "var" / "docs"
INDEX = "docs/README.html"
ENTRANCE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={INDEX}">
<title>blueshift_sync</title>
<a href="{INDEX}">Documentation</a>
"""
#: What a page loads by itself, by element: where it says from where.
LOADED = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}
_LOADED_BY_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?(https?:)?//")


def main() -> None:
    build(SITE)
    problems = list(flaws(SITE))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(f"{len(problems)} links of the documentation lead nowhere.")
    print(f"The documentation is in {(SITE / 'index.html').relative_to(ROOT)}; every link of it leads somewhere.")


def build(site: Path) -> None:
    """Makes the site anew. Ends the program where Sphinx warns of something."""
    shutil.rmtree(site, ignore_errors=True)
    options = ["--quiet", "--fresh-env", "--write-all", "--fail-on-warning", "--keep-going", "--jobs=auto"]
    places = [f"--doctree-dir={site.with_name('docs-doctrees')}", f"--conf-dir={ROOT / 'docs'}", str(ROOT), str(site)]
    command = [sys.executable, "-m", "sphinx", *options, *places]
    if subprocess.run(command, check=False).returncode:
        sys.exit("The documentation can't be built: Sphinx says above what is wrong.")
    (site / "index.html").write_text(ENTRANCE, encoding="utf-8")


def flaws(site: Path) -> Iterator[str]:
    """Everything on the pages of a site that leads nowhere, or is loaded from elsewhere."""
    pages = {path: Page.read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        for target in page.loaded:
            if is_elsewhere(target):
                yield f"{name} loads {target}: the site must work without a network."
        for target in {*page.links, *page.loaded}:
            if not is_elsewhere(target) and (flaw := _flaw_of(target, path, pages)):
                yield f"{name} links to {target}: {flaw}"
    for path in sorted(site.rglob("*.css")):
        if _LOADED_BY_STYLE.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} loads something from elsewhere: the site must work without a network."


def is_elsewhere(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme in {"mailto", "data"}


def _flaw_of(target: str, path: Path, pages: dict[Path, Page]) -> str:
    """What is wrong with a link on the page at `path`; empty if nothing is."""
    parts = urlsplit(target)
    found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not found.is_file():
        return "there is no such file."
    anchor = unquote(parts.fragment)
    if anchor and found in pages and anchor not in pages[found].anchors:
        return "that page has no such place."
    return ""


@dataclass
class Page:
    """What a page links to, what it loads, and the places on it that a link can lead to."""

    links: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Page:
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if anchor := values.get("id"):
            self.page.anchors.add(anchor)
        if tag == "a" and "href" in values:
            self.page.links.add(values["href"])
        elif tag in LOADED and LOADED[tag] in values:
            self.page.loaded.add(values[LOADED[tag]])


if __name__ == "__main__":
    main()
