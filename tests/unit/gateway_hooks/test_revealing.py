"""``audit --reveal``: pseudonyms are compared with what Hermes knows, and with nothing that lies elsewhere."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.commands.revealing import chats
from journal.pseudonyms import Pseudonyms
from tests.unit.gateway_hooks.homes import Home, parsed

NAMES = Pseudonyms(b"k" * 32)
ADA = {"origin": {"platform": "telegram", "chat_id": "101", "chat_name": "Ada"}}


def routed(home: Path, *entries: object) -> None:
    with closing(sqlite3.connect(home / "state.db")) as db, db:
        db.execute("CREATE TABLE gateway_routing (session_key TEXT, entry_json TEXT)")
        db.executemany("INSERT INTO gateway_routing VALUES ('k', ?)", [(json.dumps(entry),) for entry in entries])


def test_a_message_that_suffered_is_told_with_its_chat(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    message = home.serve().request().suffer("telegram:101")
    routed(home.path, {"origin": {"platform": "telegram", "chat_id": "102"}}, ADA)
    assert home.run("audit", "--reveal") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"message {message} came from telegram:101 (Ada) (c_")
    assert home.run("audit", "--reveal", "--json") == 1
    answer = parsed(capsys.readouterr().out)
    assert answer["chats"][str(message)]["name"] == "telegram:101 (Ada)"
    assert home.run("audit") == 1
    assert "telegram:101" not in capsys.readouterr().out


def test_a_chat_that_hermes_has_forgotten_stays_a_pseudonym(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    message = home.serve().request().suffer("telegram:101")
    assert home.run("audit", "--reveal") == 1
    assert f"message {message} came from a chat that Hermes has no session for (c_" in capsys.readouterr().out


def test_nobody_is_named_in_a_page_that_is_passed_on(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve().request().suffer("telegram:101")
    assert home.run("audit", "--reveal", "--html", str(tmp_path / "page.html")) == 2
    assert "names nobody" in capsys.readouterr().err


def test_sessions_that_stand_in_the_file_alone_are_known_too(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "sessions.json").write_text(json.dumps({"_README": "x", "k": ADA}))
    assert chats(tmp_path, NAMES) == {NAMES.of("c", "telegram:101"): "telegram:101 (Ada)"}


@pytest.mark.parametrize("content", [b"", b"no database", b"{"])
def test_what_cannot_be_read_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sessions").mkdir()
    for path in (tmp_path / "state.db", tmp_path / "sessions" / "sessions.json"):
        path.write_bytes(content)
    assert chats(tmp_path, NAMES) == {}
