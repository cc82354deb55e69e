"""Found by every interpreter that has this folder in PYTHONPATH: real Hermes gateways get their wounds here."""

from __future__ import annotations

import os
import sys

from tests.crash.wounds import NOTES, arm

if NOTES in os.environ and {"hermes_cli.main", "gateway"} <= set(sys.orig_argv):
    arm(os.environ)
