"""A disk that forgets: what is left of files when the power goes, given what was written and what was synced before.

It promises no more than POSIX does. Contents of a file are safe up to the start of its last finished sync, the names in a folder up to
the folder's own. Of what came after, any sector may be there or not, whatever came before or after it; a name may be old or new.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

SECTOR = 512
Kind = Literal["write", "truncate", "extend", "sync", "make", "folder", "unlink", "say"]
MODES = ("nothing", "everything", "sectors", "writes", "torn")
"""What becomes of unsynced writes: none arrives, all do, each sector by chance, each write by chance, or all up to a torn one."""


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that a process did; ``begin`` and ``end`` order it among the others. ``say`` is an acknowledgement, on no disk."""

    kind: Kind
    path: str
    begin: int
    end: int
    offset: int = 0
    data: bytes = b""


@dataclass(slots=True)
class _File:
    """An inode: what is safe, and what was written since, each with its end."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)
    folder: bool = False


class Disk:
    """Feed it operations in the order of their ends; ``left`` says what a cut of the power leaves."""

    def __init__(self, root: str) -> None:
        self._root = PurePosixPath(root)
        self._names: dict[str, _File | None] = {}
        self._safe: dict[str, _File | None] = {}
        self._pending: dict[str, list[tuple[Op, _File | None]]] = {}

    def do(self, op: Op) -> None:
        """Carry out one operation; what lies outside of the root is nobody's business."""
        if self._root not in PurePosixPath(op.path).parents and op.path != str(self._root):
            return
        match op.kind:
            case "make" | "folder":
                if self._names.get(op.path) is None:
                    self._name(op, _File(folder=op.kind == "folder"))
            case "unlink":
                self._name(op, None)
            case "write" | "truncate" | "extend":
                file = self._names[op.path]
                assert file is not None, f"a write to {op.path}, which was never made"
                file.pending.append(op)
            case "sync":
                self._sync(op)
            case "say":
                pass

    def _name(self, op: Op, file: _File | None) -> None:
        self._names[op.path] = file
        self._pending.setdefault(op.path, []).append((op, file))

    def _sync(self, op: Op) -> None:
        file = self._names.get(op.path)
        if file is not None and not file.folder:
            safe = [written for written in file.pending if written.end < op.begin]
            for written in safe:
                _apply(file.content, written)
            file.pending = [written for written in file.pending if written.end >= op.begin]
            return
        for path, waiting in self._pending.items():
            if str(PurePosixPath(path).parent) == op.path:
                for named, made in [w for w in waiting if w[0].end < op.begin]:
                    self._safe[path] = made
                    waiting.remove((named, made))

    def left(self, dice: random.Random, under_way: Sequence[Op] = ()) -> dict[str, bytes | None]:
        """What a cut leaves, by path below the root: contents, or None for a folder. ``under_way`` has begun and not ended."""
        found: dict[str, bytes | None] = {}
        for path in sorted(self._names):
            versions = [self._safe.get(path), *(made for _, made in self._pending.get(path, ()))]
            file = dice.choice((versions[0], versions[-1], dice.choice(versions)))
            if file is None or not self._reachable(path, found):
                continue
            writes = [*file.pending, *(op for op in under_way if op.path == path and self._names[path] is file)]
            relative = str(PurePosixPath(path).relative_to(self._root))
            found[relative] = None if file.folder else _survived(bytes(file.content), writes, dice)
        return found

    def _reachable(self, path: str, found: dict[str, bytes | None]) -> bool:
        parent = PurePosixPath(path).parent
        return parent == self._root or str(parent.relative_to(self._root)) in found


def lay(left: dict[str, bytes | None], folder: Path) -> None:
    """Put what a cut has left into a real folder."""
    for name, content in left.items():
        if content is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).write_bytes(content)


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.offset :]
        content.extend(bytes(op.offset - len(content)))
        return
    content.extend(bytes(max(0, op.offset - len(content))))  # all that ``extend`` does
    content[op.offset : op.offset + len(op.data)] = op.data


def _survived(safe: bytes, writes: Sequence[Op], dice: random.Random) -> bytes:
    content, mode, keep = bytearray(safe), dice.choice(MODES), dice.random()
    torn = dice.randrange(len(writes)) if writes else 0
    for n, op in enumerate(writes):
        if mode == "everything" or (mode == "torn" and n < torn) or (mode == "writes" and dice.random() < keep):
            _apply(content, op)
        elif op.kind != "write":
            if mode == "sectors" and dice.random() < keep:
                _apply(content, op)
        elif mode == "sectors" or (mode == "torn" and n == torn):
            for piece in _sectors(op):
                if dice.random() < keep:
                    _apply(content, piece)
    return bytes(content)


def _sectors(op: Op) -> list[Op]:
    """The write, cut where sectors of the disk begin."""
    pieces, at = [], op.offset
    end = op.offset + len(op.data)
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        data = op.data[at - op.offset : until - op.offset]
        pieces.append(Op("write", op.path, op.begin, op.end, at, data))
        at = until
    return pieces
