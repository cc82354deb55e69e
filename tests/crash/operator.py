"""An operator with wounds: ``python -m tests.crash.operator JOURNAL promote|rollback|complete RUNTIME BAKE_S LIMITS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway_hooks.orders import Operator
from journal.errors import HandoffError
from journal.events import Limits
from tests.crash.wounds import arm


def main(folder: str, order: str, runtime: str, bake_s: str, limits: str) -> None:
    operator = Operator(Path(folder))
    try:
        if order == "promote":
            operator.promote(runtime, float(bake_s), Limits.model_validate_json(limits))
        else:
            getattr(operator, order)()
    finally:
        operator.close()


if __name__ == "__main__":
    arm(os.environ)
    try:
        main(*sys.argv[1:])
    except HandoffError as error:
        sys.exit(error.line())
