"""The reference gateway with wounds: ``python -m tests.crash.gateway --home DIR --api URL --token TOKEN``."""

from __future__ import annotations

import os

from gateway_hooks.reference.__main__ import main
from tests.crash.wounds import arm

if __name__ == "__main__":
    arm(os.environ)
    main()
