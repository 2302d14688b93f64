"""One way to hash plain values, so that hashes of the same thing agree wherever they are made."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Return the BLAKE2b hash (32 hexadecimal digits) of a plain value, such as a list of case ids."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
