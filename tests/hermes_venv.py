"""Virtual environments with a real Hermes and this project, made once under ``build/`` and used again.

``python -m tests.hermes_venv 0.19.0`` makes one by hand. Remove the folder to have it made anew.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("0.19.0", "0.18.2")
BEFORE = "freeze-before.txt"
_BOUND_S = 900


def hermes_venv(version: str) -> Path:
    """A virtual environment with ``hermes-agent==version``, its Telegram adapter and this project, editable.

    Made on first use, under a lock, so that several test runs may ask at once; one that was cut short is made anew. What stood
    before this project came is kept in ``freeze-before.txt``.

    Raises:
        RuntimeError: pip failed; the message has its last words.
    """
    folder = ROOT / "build" / f"hermes-{version}"
    folder.parent.mkdir(exist_ok=True)
    lock = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").is_file():
            venv.create(folder, clear=True)
            pip(folder, "install", f"hermes-agent=={version}", "python-telegram-bot[webhooks]==22.6")
            (folder / BEFORE).write_text(pip(folder, "freeze", "--all"))
            pip(folder, "install", "-e", f"{ROOT}[reference]")
            (folder / "complete").touch()
    finally:
        os.close(lock)
    return folder


def pip(folder: Path, *arguments: str) -> str:
    """Run pip on that environment, from outside, and return what it printed. Neither needs a pip of its own, nor ensurepip."""
    command = [
        _with_pip(),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        str(folder / "bin" / "python"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BOUND_S, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(arguments)}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


@cache
def _with_pip() -> str:
    """This interpreter, or the one that its environment was made from: whichever has pip."""
    for python in (sys.executable, str(Path(sys.base_prefix) / "bin" / "python3")):
        if not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            return python
    raise RuntimeError("no pip: install python3-pip")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        print(hermes_venv(wanted))
