"""Short, stable digests, by which two payloads can be compared without keeping both."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint_of(payload: Any) -> str:
    """The digest of a JSON value, whatever the order of its keys. 32 hexadecimal digits."""
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
