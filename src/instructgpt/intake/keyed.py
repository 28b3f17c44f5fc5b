"""Draws that the store's secret key decides: nobody who lacks it can tell or steer where a prompt
falls, and no draw depends on what else is there.
"""

import hmac


def draw(key: bytes, purpose: str, unit: str) -> int:
    """A number of 64 bits: HMAC-SHA256 of what is drawn for and who draws, its first 8 bytes.

    >>> draw(b"k", "split", "ann") == draw(b"k", "split", "ann") != draw(b"k", "cap", "ann")
    True
    """
    text = f"{purpose}/{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hmac.digest(key, text, "sha256")[:8], "big")
