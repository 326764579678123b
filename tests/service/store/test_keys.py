from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.service.store import keys
from innerloop.service.store.database import opened
from innerloop.service.store.keys import Keys


def test_a_key_is_found_until_it_is_revoked_and_never_kept(place):
    made, token = keys.add(place, "read", "phone")
    other, _ = keys.add(place, "write")
    database = opened(place)
    found = Keys(database)
    assert found.find(token) == made and made.scope == "read" and made.name == "phone"
    for wrong in ("", token[:-1], token + "x", token.upper(), "il_\ud800"):
        assert found.find(wrong) is None
    for file in Path(place).glob("store.sqlite*"):
        assert token.encode() not in file.read_bytes() and token[3:].encode() not in file.read_bytes()
    keys.revoke(place, made.id)
    assert found.find(token) is None
    assert [(k.id, k.revoked is None) for k, _ in keys.used(place)] == [(made.id, False), (other.id, True)]
    database.close()


def test_what_cannot_be(tmp_path):
    for attempt, message in (
        (lambda: keys.add(tmp_path, "all"), "no scope 'all'"),  # pyright: ignore[reportArgumentType]
        (lambda: keys.add(tmp_path, "read", "x" * 65), "at most 64"),
        (lambda: keys.add(tmp_path, "read", "a\nb"), "printable"),
        (lambda: keys.revoke(tmp_path, 5), "no key 5"),
        (lambda: keys.revoke(tmp_path, None), "say which"),
    ):
        with pytest.raises(InputError, match=message):
            attempt()


def test_tokens_are_long_and_unlike(tmp_path):
    tokens = {keys.add(tmp_path, "read")[1] for _ in range(5)}
    assert len(tokens) == 5 and all(len(token) >= 46 for token in tokens)
