"""How Sphinx makes a site of these pages, for `make docs`. They are plain Markdown, and read as well without it."""

from __future__ import annotations

import re
from typing import Any

# What Sphinx reads; it starts at the root of the repository, for the pages link to SECURITY.md and the like.
project = "blueshift_sync"
author = "the blueshift_sync contributors"
extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = ["docs/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"]
exclude_patterns = [".*", "var", "build", "dist", "blueshift_sync", "project", "tests"]
nitpicky = True
myst_heading_anchors = 4
# Anchors that are written as HTML are unknown to it; whether each link leads somewhere is looked at in what is built.
suppress_warnings = ["myst.xref_missing"]

html_theme = "furo"
html_title = "blueshift_sync"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

_FILE = re.compile(r"^(?P<indent> *)```(?P<language>\w+) (?P<name>\S+)$", re.M)
_SECTION = re.compile(r"^## (?P<name>.+)\n(?P<text>(?:(?!^## ).*\n?)*)", re.M)
_PAGE = re.compile(r"\]\((?P<path>[\w./-]+)\.md\)")


def name_files(text: str) -> str:
    """A block that is a file shows its name, which GitHub takes for granted."""
    return _FILE.sub(r"\g<indent>```{code-block} \g<language>\n\g<indent>:caption: \g<name>\n", text)


def with_menu(index: str) -> str:
    """The index with what it lists as the site's menu, under the same headings."""
    menus = []
    for section in _SECTION.finditer(index):
        pages = [page["path"] for page in _PAGE.finditer(section["text"])]
        entries = "\n".join(f"/{page.removeprefix('../')}" if page.startswith("../") else page for page in pages)
        menus.append(f"```{{toctree}}\n:hidden:\n:caption: {section['name']}\n\n{entries}\n```\n")
    return "\n".join([index, *menus])


def read_source(_app: Any, page: str, source: list[str]) -> None:
    source[0] = with_menu(source[0]) if page == root_doc else name_files(source[0])


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True}
