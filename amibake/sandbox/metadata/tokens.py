"""The session tokens of IMDSv2: each is good for one instance, until it expires."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from math import ceil

MAX_TTL = 21600
"""Seconds; EC2's limit."""
_EXPIRY_BYTES = 8
"""For milliseconds."""


class Tokens:
    """Says all in the tokens themselves, signed with a key of its own, so that none have to be kept.

    Args:
        clock: Seconds, from any origin before now.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def issue(self, instance_id: str, ttl: int) -> str:
        """A token that is good for `ttl` seconds."""
        expiry = round((self._clock() + ttl) * 1000).to_bytes(_EXPIRY_BYTES, "big")
        return urlsafe_b64encode(expiry + self._signature(expiry, instance_id)).decode()

    def seconds_left(self, token: str, instance_id: str) -> int:
        """For how long a token is good for that instance, a second begun being one; 0 when it is not."""
        try:
            given = urlsafe_b64decode(token)
        except (NotBase64, ValueError):
            return 0
        expiry, signature = given[:_EXPIRY_BYTES], given[_EXPIRY_BYTES:]
        if not hmac.compare_digest(signature, self._signature(expiry, instance_id)):
            return 0
        return max(0, ceil(int.from_bytes(expiry, "big") / 1000 - self._clock()))

    def _signature(self, expiry: bytes, instance_id: str) -> bytes:
        return hmac.digest(self._key, expiry + instance_id.encode(), "sha256")
