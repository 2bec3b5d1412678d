"""What the pages say of the code's layout, and what is generated from it, is as the code is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read
from tools import docs_site, layout, reference

ARCHITECTURE = "docs/architecture.md"
PACKAGE = ROOT / "blueshift_sync"


def test_what_is_generated_is_up_to_date() -> None:
    old = [str(path.relative_to(ROOT)) for path in reference.out_of_date()]
    assert old == [], "Run tools/reference.py."


def test_each_generated_part_stands_on_one_page() -> None:
    parts = [part["name"] for page in ROOT.glob("docs/*.md") for part in reference.PART.finditer(page.read_text())]
    assert sorted(parts) == sorted(reference.PARTS)


def test_the_layout_on_the_page_is_the_layout_on_disk() -> None:
    """Both ways. Packages are named by their folder, and an `__init__` with it."""
    listed = re.findall(r"^(?:- |\*\*)`([\w/.]+)`", read(ARCHITECTURE).split("## Every module")[1], re.M)
    on_disk = {
        str((path.parent if path.name == "__init__.py" else path).relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not {"migrations", "__pycache__"} & {*path.parts}
    }
    assert sorted(name.rstrip("/") for name in listed) == sorted(on_disk - {".", "management/commands"})


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", read(ARCHITECTURE))) - {"blueshift.py"}  # that is a site's
    assert len(named) > 100
    assert [name for name in named if not (PACKAGE / name).is_file()] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for names in layout.parts().values() for name in names for path in layout.modules_of(name)]
    assert [str(path) for path in silent if not layout.purpose(path).endswith(".")] == []


# The checks of the built site


def site_of(directory: Path, **pages: str) -> list[str]:
    """What is found wrong on a site with these pages."""
    for name, text in pages.items():
        (directory / f"{name}.html").write_text(text)
    return list(docs_site.flaws(directory))


def test_links_that_lead_somewhere_are_fine(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("body { background: url(paper.png) }")
    one = '<link href="style.css"><a href="two.html#here">x</a><a href="#top" id="top">x</a><a href="https://example.com">x</a>'
    assert site_of(tmp_path, one=one, two='<h2 id="here">x</h2>') == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ('<a href="gone.html">x</a>', "links to gone.html: there is no such file."),
        ('<a href="#nowhere">x</a>', "links to #nowhere: that page has no such place."),
        ('<img src="gone.png">', "links to gone.png: there is no such file."),
        ('<script src="https://cdn.example.com/x.js"></script>', "the site must work without a network."),
    ],
)
def test_a_dead_link_is_found(tmp_path: Path, page: str, said: str) -> None:
    (flaw,) = site_of(tmp_path, page=page)
    assert flaw.startswith("page.html")
    assert flaw.endswith(said)


def test_a_style_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("@import 'https://fonts.example.com/x.css';")
    (flaw,) = site_of(tmp_path)
    assert flaw.startswith("style.css loads something from elsewhere")
