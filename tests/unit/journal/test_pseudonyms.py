from __future__ import annotations

import hashlib

import pytest

from journal.pseudonyms import Pseudonyms, seal
from tests.builders import SALT, accepted

NAMES = Pseudonyms(bytes(32))


def test_the_same_name_gives_the_same_pseudonym() -> None:
    assert NAMES.of("c", "telegram:42") == Pseudonyms(bytes(32)).of("c", "telegram:42")


def test_another_name_kind_or_key_gives_another_pseudonym() -> None:
    mine = NAMES.of("c", "42")
    assert (
        len({mine[2:], NAMES.of("c", "43")[2:], NAMES.of("s", "42")[2:], Pseudonyms(b"k" * 32).of("c", "42")[2:]}) == 4
    )


@pytest.mark.parametrize("kind", ["c", "s", "a", "w"])
def test_a_pseudonym_fits_the_vocabulary_and_hides_the_name(kind: str) -> None:
    made = NAMES.of(kind, "+491701234567")  # type: ignore[arg-type]
    event = accepted().event
    assert type(event).model_validate({**event.model_dump(), "chat": made})
    assert "491701234567" not in made


def test_sealed_words_keep_a_digest_that_depends_on_the_salt() -> None:
    payload, digest = seal(b"hello", SALT)
    assert digest == hashlib.sha256(SALT + b"hello").hexdigest()
    assert (payload.salt, payload.data) == (SALT, b"hello")
    assert seal(b"hello", bytes(16))[1] != digest
