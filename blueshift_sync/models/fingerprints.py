"""Short, stable digests, by which two payloads can be compared without keeping both."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint_of(payload: Any) -> str:
    """The digest of a JSON value, whatever the order of its keys. 32 hexadecimal digits."""
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def is_json(value: Any) -> bool:
    """Whether `value` can be written as JSON; NaN and the infinities can't."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        return False
    return True
