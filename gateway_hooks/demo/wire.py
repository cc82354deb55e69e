"""What was asked of the Bot API and what it answered, as frozen records in memory and as lines in a file.

Times are ``time.monotonic_ns`` of the machine, so records of several processes on it compare. A call is written when it
begins and again when it ends: whoever reads the file after a SIGKILL of the writer sees what was under way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TextIO

Outcome = Literal["open", "answered", "dropped", "aborted"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the Bot API and its answer.

    Attributes:
        n: Order of arrival, from 0.
        method: In the spelling of the Bot API, ``getUpdates``.
        connection: Number of the client's TCP connection, from 0; `port` is its local port, which may come back later.
        pid: The process that holds the connection, or None where nobody could tell.
        end_ns: None while the call is open.
        outcome: ``dropped`` when the stand-in cut the connection, ``aborted`` when the client went away.
        status: HTTP status of the answer, None without an answer.
        message_id: The message that was made or edited. None when a send was refused or has not been taken yet.
        offset: What getUpdates asked for; None when it named none.
        update_ids: What getUpdates handed over.
    """

    n: int
    method: str
    connection: int
    port: int
    begin_ns: int
    pid: int | None = None
    end_ns: int | None = None
    outcome: Outcome = "open"
    status: int | None = None
    chat_id: int | None = None
    text: str | None = None
    message_id: int | None = None
    reply_to: int | None = None
    offset: int | None = None
    timeout_s: float | None = None
    update_ids: tuple[int, ...] = ()

    @property
    def client(self) -> str:
        """Who called: ``pid 4711``, or the connection when the process is not known."""
        return f"pid {self.pid}" if self.pid is not None else f"connection {self.connection}"


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a person did in a chat: what the Bot API owes to the gateway as `update_id`."""

    update_id: int
    at_ns: int
    chat_id: int
    message_id: int
    kind: str
    text: str


class WireLog:
    """Records of calls and of what people said, in memory and, when a path is given, line by line in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self._calls: list[Call] = []
        self._said: list[Said] = []
        self._pids: dict[int, int] = {}
        self._file: TextIO | None = path.open("a", buffering=1, encoding="utf-8") if path is not None else None

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls in the order of arrival, those still open included, with the pids known by now."""
        return tuple(_with_pid(call, self._pids) for call in self._calls)

    @property
    def said(self) -> tuple[Said, ...]:
        """All that people said, in order."""
        return tuple(self._said)

    def begin(self, method: str, *, connection: int, port: int, at_ns: int) -> Call:
        """Record a request that has arrived."""
        call = Call(n=len(self._calls), method=method, connection=connection, port=port, begin_ns=at_ns)
        self._calls.append(call)
        self._write("call", asdict(call))
        return call

    def update(self, call: Call, **changes: Any) -> Call:
        """Replace fields of a call, in memory and in the file, and return the new record."""
        changed = replace(self._calls[call.n], **changes)
        self._calls[call.n] = changed
        self._write("call", asdict(changed))
        return changed

    def heard(self, said: Said) -> None:
        """Record what a person said."""
        self._said.append(said)
        self._write("said", asdict(said))

    def owner(self, connection: int, pid: int) -> None:
        """Record which process holds a connection."""
        self._pids[connection] = pid
        self._write("owner", {"connection": connection, "pid": pid})

    def close(self) -> None:
        """Close the file; the records in memory stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, kind: str, body: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"is": kind, **body}) + "\n")  # whatever people write, lone surrogates too


def read(path: Path) -> tuple[tuple[Said, ...], tuple[Call, ...]]:
    """Read a file that a `WireLog` wrote, also one cut off in its last line.

    Returns:
        What people said, and the calls in the order of arrival in their last known form.
    """
    said: list[Said] = []
    calls: dict[int, Call] = {}
    pids: dict[int, int] = {}
    makers: dict[str, Callable[[dict[str, Any]], None]] = {
        "said": lambda body: said.append(Said(**body)),
        "call": lambda body: calls.update({body["n"]: Call(**{**body, "update_ids": tuple(body["update_ids"])})}),
        "owner": lambda body: pids.update({body["connection"]: body["pid"]}),
    }
    for body in _lines(path):
        makers[body.pop("is")](body)
    return tuple(said), tuple(_with_pid(calls[n], pids) for n in sorted(calls))


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from (json.loads(line) for line in file if line.endswith("\n"))


def _with_pid(call: Call, pids: dict[int, int]) -> Call:
    pid = pids.get(call.connection)
    return call if pid is None or call.pid is not None else replace(call, pid=pid)
