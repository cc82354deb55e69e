"""From what strace wrote down to operations on files, in order; whatever it shows that is not understood is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.power.disk import Op

CALLS = (
    "openat", "open", "creat", "write", "pwrite64", "writev", "pwritev", "ftruncate", "truncate", "fsync", "fdatasync", "sync",
    "sync_file_range", "msync", "fallocate", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "mkdir",
    "mkdirat", "copy_file_range", "sendfile",
)  # fmt: skip
"""What can change a file or make it safe."""
STRACE = os.environ.get("STRACE", "strace")
COMMAND = (STRACE, "-f", "-y", "-xx", "-s", "1048576", "-e", "signal=none", "-e", "trace=" + ",".join(CALLS))
_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)", re.DOTALL)
_FD = re.compile(r"(?:\d+|AT_FDCWD)<(.*?)>(?:\(deleted\))?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_UNSAFE = {"fsync", "fdatasync"}


def operations(lines: Iterable[str], root: str, acks: str) -> list[Op]:
    """The operations below ``root``, in the order of their ends; writes to the file ``acks`` are acknowledgements.

    Raises:
        ValueError: A call below the root that this does not understand: then nothing can be concluded.
    """
    found = [op for op in _parsed(lines, root, acks) if op]
    return sorted(found, key=lambda op: op.end)


def _parsed(lines: Iterable[str], root: str, acks: str) -> Iterator[Op | None]:
    cut: dict[str, tuple[int, str]] = {}
    for n, line in enumerate(lines):
        matched = _LINE.match(line.rstrip("\n"))
        if not matched:
            continue
        pid, what, begin = matched[1], matched[2], n
        if what.endswith("<unfinished ...>"):
            cut[pid] = n, what.removesuffix("<unfinished ...>").rstrip()
            continue
        if what.startswith("<... "):
            begin, first = cut.pop(pid)
            what = first + what.split(" resumed>", 1)[1].lstrip()
        call = _CALL.match(what)
        if call and call[3] != "?" and int(call[3]) >= 0:
            yield _operation(call[1], call[2], int(call[3]), call[4], begin, n, root, acks)


def _operation(name: str, rest: str, result: int, after: str, begin: int, end: int, root: str, acks: str) -> Op | None:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text, _ in _TEXT.findall(rest)]
    if name in ("openat", "open", "creat", "mkdir", "unlink"):
        path = str(Path(texts[0].decode()))
    else:
        fd = _FD.match(rest)
        path = _plain(fd[1]) if fd else ""
    if path == acks and name == "write":
        return Op("say", path, begin, end, data=texts[0])
    if path != root and not path.startswith(root + "/"):
        return None
    if name == "openat":
        if "O_TRUNC" in rest:
            return Op("truncate", path, begin, end)
        return Op("make", path, begin, end) if "O_CREAT" in rest else None
    if name == "mkdir":
        return Op("folder", path, begin, end)
    if name == "unlink":
        return Op("unlink", path, begin, end)
    if name in _UNSAFE:
        return Op("sync", path, begin, end)
    numbers = [int(part) for part in re.findall(r", (\d+)", _TEXT.sub("", rest))]
    if name == "pwrite64" and not after.startswith("..."):
        return Op("write", path, begin, end, numbers[-1], texts[0][:result])
    if name == "ftruncate":
        return Op("truncate", path, begin, end, numbers[-1])
    if name == "fallocate" and numbers[:-2] == [0]:  # the plain one: the file is at least so long afterwards
        return Op("extend", path, begin, end, numbers[1] + numbers[2])
    if name == "write" and path.endswith("/key"):  # written once, from its beginning
        return Op("write", path, begin, end, 0, texts[0][:result])
    raise ValueError(f"{name} on {path} is not understood")


def _plain(path: str) -> str:
    """A path as strace writes it beside a descriptor: with -xx, every byte in hex."""
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
