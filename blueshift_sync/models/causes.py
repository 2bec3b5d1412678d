"""What went wrong, apart from whom it happened to: records that failed for one reason have one cause."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

#: Characters of a message that are looked at.
LONGEST_MESSAGE = 1000
#: Hexadecimal digits of a cause.
DIGITS = 16

#: What differs from record to record, by the name of its placeholder. Of two that begin together the first is taken.
_VARIABLE = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in {
            # The name of a field is part of what went wrong, whatever its value was.
            "kept": r"\b(?:attribute|field|column|property|parameter|send|failed at) ['\"`‘“][a-z_][\w.]{0,63}['\"`’”]",
            "url": r"\b[a-z][a-z0-9+.-]{0,20}://[^\s'\"<>]+",
            "email": r"(?<![^\s'\"<>(){}\[\],;:=])[^\s@'\"<>(){}\[\],;:=]+@[^\s@'\"<>(){}\[\],;:]+",
            "uuid": r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b",
            "date": r"\b\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?)?(?: ?(?:z|utc|[+-]\d\d:?\d\d))?\b",
            # An apostrophe within a word opens nothing.
            "value": r"(?<!\w)(?:'(?:[^']|(?<=\w)'(?=\w))*+'|\"[^\"]*\"|`[^`]*`)(?!\w)"
            "|‘[^’]*’|“[^”]*”|„[^“”]*[“”]|«[^»]*»",
            # A word with digits in it is a key of something.
            "key": r"(?<![\w-])(?=[a-z_-]*+\d)(?=[\d-]*+[a-z_])[\w-]++",
            "number": r"[+-]?\b\d+(?:[.,:]\d+)*%?",
        }.items()
    ),
    re.IGNORECASE,
)


#: What can't be a part of an address ends it, so that no text takes long.
_PART = r"[^\s@<>()\[\]{}'\",;:]"
_ADDRESS = re.compile(rf"(?<!{_PART}){_PART}+@{_PART}+")


def without_addresses(message: str) -> str:
    """The message with its e-mail addresses masked: for who may not see whose they are."""
    return _ADDRESS.sub("…@…", message)


@lru_cache(maxsize=1024)
def cause_of(code: str, message: str) -> str:
    """The digest of an error code and of what its message says in general; empty where there is neither.

    As many records fail for one reason at once, the answers are remembered.
    """
    if not code and not message:
        return ""
    return hashlib.blake2b(f"{code}\n{normalised(message)}".encode(), digest_size=DIGITS // 2).hexdigest()


def normalised(message: str) -> str:
    """The message in lower case and on one line, with placeholders for what differs from record to record."""
    general = _VARIABLE.sub(_placeholder, message[:LONGEST_MESSAGE])
    return " ".join(general.split()).casefold()


def _placeholder(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup == "kept" else f"<{found.lastgroup}>"
