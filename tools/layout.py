"""The package as it is on disk: its layers, as pyproject.toml has import-linter keep them, and its modules."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "blueshift_sync"
#: What holds no code of ours to be read.
LEFT_OUT = ("migrations",)
#: What the layers don't name, as it takes part in none of them, or is what Django starts with.
BESIDE_THE_LAYERS = "Beside the layers"


def layers() -> list[list[str]]:
    """The layers of the contract "Imports run one way", the highest first: the parts of each."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    return [[part.strip() for part in layer.split(":")] for layer in contract["layers"]]


def layer_list() -> str:
    """The layers as Markdown, the highest first."""
    return "\n".join(f"{number}. {_names(layer)}" for number, layer in enumerate(layers(), start=1)) + "\n"


def _names(layer: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in layer)


def parts() -> dict[str, list[str]]:
    """The packages and modules of each layer, and those beside them, by a heading."""
    placed = {name for layer in layers() for name in layer}
    on_disk = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    beside = sorted(on_disk - placed - {"__init__", *LEFT_OUT})
    return {**{_names(layer): layer for layer in layers()}, BESIDE_THE_LAYERS: beside}


def modules_of(part: str) -> list[Path]:
    """The files of a package that say what they are for, or the one file of a module."""
    folder = PACKAGE / part
    if not folder.is_dir():
        return [folder.with_suffix(".py")]
    files = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    return [path for path in files if path.name != "__init__.py"]


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring; empty where it has none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n", 1)[0].split())


def modules() -> str:
    """Every module with its purpose, by layer, as Markdown."""
    lines: list[str] = []
    for heading, names in parts().items():
        lines += ["", f"### {heading}"]
        for name in names:
            folder = PACKAGE / name
            if folder.is_dir():
                said = purpose(folder / "__init__.py")
                lines += ["", f"**`{name}/`** {said}".rstrip(), ""]
            lines += [_line(path) for path in modules_of(name)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _line(path: Path) -> str:
    return f"- `{path.relative_to(PACKAGE)}`: {purpose(path)}"
