"""A process as systemd starts a unit's main one: ``python service.py COMMAND ...`` becomes the command."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    unit = {"INVOCATION_ID": "0" * 32, "SYSTEMD_EXEC_PID": str(os.getpid())}
    os.execve(sys.argv[1], sys.argv[1:], {**os.environ, **unit})
