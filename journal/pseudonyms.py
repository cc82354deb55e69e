"""Chats, sessions and accounts stand in the journal as pseudonyms: an HMAC with a key that never leaves the machine.

The same name gives the same pseudonym, so that order within a chat can be told from the record; the name itself cannot.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from journal.record import Payload

Kind = Literal["c", "s", "a", "w"]
"""c chat, s session, a account, w watcher."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Maker of pseudonyms for one journal. ``key`` is 32 bytes."""

    key: bytes

    def of(self, kind: Kind, name: str) -> str:
        """``c_`` and 16 hex digits. The kinds do not collide: a chat and a session of one name differ."""
        mac = hmac.new(self.key, f"{kind}:{name}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{kind}_{mac.hexdigest()[:16]}"


def seal(data: bytes, salt: bytes) -> tuple[Payload, str]:
    """A payload and its salted digest (64 hex digits), which stays when the words are erased. ``salt``: 16 random bytes."""
    return Payload(salt, data), hashlib.sha256(salt + data).hexdigest()
