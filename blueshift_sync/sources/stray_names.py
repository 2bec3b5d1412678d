"""Names in a source's body that nobody asks for, and that look like one that is: `first_name` for `firstname`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from .base import CustomerSource, MembershipSource, Source
from .inspection import STANDARD_TYPES, Flaw
from .readings import LONGEST
from .registry import all_sources

_OF_ALL = {"watch", "get_queryset", "include"}
_OF_CUSTOMERS = {*LONGEST, *(f"get_{name}" for name in LONGEST), "attributes", "send_null", "get_subscription_groups"}
_OF_MEMBERSHIPS = {"customer", "list_id", "get_customer", "get_list_id"}
#: How alike two names are that may be meant to be one.
ALIKE = 0.88


def stray_names() -> Iterator[Flaw]:
    """The names of every registered source that are probably mistakes."""
    for source in all_sources():
        for name in sorted(_own_names(source)):
            flaw = _flaw_of(source, name)
            if flaw is not None:
                yield Flaw(
                    f"{type(source).__name__}, the source of {source.model._meta.label}: {flaw.message}", flaw.hint
                )


def _own_names(source: Source) -> set[str]:
    """What the site wrote into the source's body, but for what the source itself uses."""
    bodies = [each for each in type(source).__mro__ if each not in {CustomerSource, MembershipSource, Source, object}]
    written = {name for body in bodies for name in vars(body) if not name.startswith("_")}
    getters = [getattr(type(source), name, None) for name in _names_for(source)]
    if isinstance(source, CustomerSource) and isinstance(source.attributes, Mapping):
        getters += source.attributes.values()
    used = {getter for getter in getters if isinstance(getter, str)}
    return written - used - _names_for(source) - {"model"}


def _names_for(source: Source) -> set[str]:
    return _OF_ALL | (_OF_CUSTOMERS if isinstance(source, CustomerSource) else _OF_MEMBERSHIPS)


def _flaw_of(source: Source, name: str) -> Flaw | None:
    if isinstance(source, CustomerSource) and name in STANDARD_TYPES:
        return Flaw(f"'{name}' isn't read from the source's body.", f'Write attributes = {{"{name}": …}}.')
    meant = _meant_by(name, _names_for(source))
    if meant is None:
        return None
    return Flaw(f"nobody asks for '{name}'. Is it '{meant}' that is meant?", f"Write {meant}, or give it another name.")


def _meant_by(name: str, known: set[str]) -> str | None:
    bare = {_bare(each): each for each in sorted(known)}
    close = difflib.get_close_matches(_bare(name), bare, n=1, cutoff=ALIKE)
    return bare[close[0]] if close else None


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
