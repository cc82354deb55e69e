"""A child that runs commands of the front door in a bad situation: ``python -m tests.unit.gateway_hooks.plight JSON``.

The JSON has ``good`` and ``bad`` homes, ``how`` (``stranger``: as a user without rights; a number: that limit of open files; or
nothing) and ``commands``. Everything runs once in the good home first: what is imported late is there then, wherever it lies.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys

from gateway_hooks.cli import main

NOBODY = 65534
Told = tuple[int, str, str]
"""Exit code, stdout, stderr."""


def _run(home: str, words: list[str], n: int) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*(w.replace("OUT", f"{home}/out-{n}") for w in words), "--home", home])
    return code, out.getvalue(), err.getvalue()


def suffer(good: str, bad: str, how: str, commands: list[list[str]]) -> list[Told]:
    """What each command says in the good home (thrown away), then in the bad one."""
    for n, words in enumerate(commands):
        _run(good, words, n)
    if how == "stranger" and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    elif how.isdecimal():
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(how), int(how)))
    return [_run(bad, words, n) for n, words in enumerate(commands)]


if __name__ == "__main__":
    print(json.dumps(suffer(**json.loads(sys.argv[1]))))
