"""The front door: ``handoff-journal COMMAND``. Commands are imported when they are asked for; no traceback reaches a person."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway_hooks.commands.shared import Given, common_options
from journal.errors import DiskTrouble, HandoffError

COMMANDS = (
    "demo",
    "install",
    "uninstall",
    "doctor",
    "run",
    "promote",
    "confirm",
    "complete",
    "rollback",
    "resume",
    "status",
    "watch",
    "log",
    "replay",
    "audit",
    "verify",
    "export",
)
INTERRUPTED, CUT_OFF = 130, 141
"""As a shell counts a command that Ctrl-C has ended, and one whose reader was gone."""
DEBUG = "HANDOFF_JOURNAL_DEBUG"
"""Set it to anything to see the traceback of what nobody expected."""


class Closed(io.TextIOBase):
    """Stands for a stdout that was closed before we began: whoever answers is told, as on a full disk; who says nothing goes on."""

    def write(self, _text: str) -> int:
        raise DiskTrouble("there is no stdout to answer on", hint="leave it open, or send it somewhere: > FILE")


class LazyGroup(click.Group):
    """Knows its commands by name and imports ``gateway_hooks.commands.NAME`` for the one that is run."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gateway_hooks.commands.{name}").command
        return command


@click.group(
    "handoff-journal",
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@common_options
@click.version_option(package_name="handoff-journal", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context, home: Path | None, journal: Path | None, as_json: bool) -> None:
    """Promote a new Hermes gateway beside the running one: no message lost, none answered twice, and a way back.

    Exit codes: 0 good; 1 a finding, or the handoff was rolled back; 2 usage; 3 no journal, or nothing to act on;
    4 refused; 5 not a journal, newer, corrupt or tampered; 74 the disk; 75 busy.
    """
    context.obj = Given(home, journal, as_json)
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; whatever goes wrong is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    sys.stdout = sys.stdout or Closed()
    try:
        code = group.main(words, prog_name="handoff-journal", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except HandoffError as error:
        return _report(error.message, error.hint, error.exit_code, type(error).__name__, as_json)
    except click.UsageError as error:
        at = error.ctx.command_path if error.ctx else "handoff-journal"
        return _report(error.format_message().rstrip("."), f"see '{at} --help'", 2, "Usage", as_json)
    except click.ClickException as error:
        return _report(error.format_message(), "", error.exit_code, type(error).__name__, as_json)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (
        BrokenPipeError,
        SystemExit,
    ):  # whoever read us has seen enough; click exits by itself where it notices first
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return CUT_OFF
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        hint = "check the disk, the mode of files and folders, and the limit of open files"
        return _report(what, hint, DiskTrouble.exit_code, type(error).__name__, as_json)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        what = f"unexpected {type(error).__name__}: {error}".replace("\n", " ")
        return _report(what, f"set {DEBUG}=1 to see where", 1, type(error).__name__, as_json)


def _report(message: str, hint: str, code: int, kind: str, as_json: bool) -> int:
    """Say on stderr what is wrong and what to do: one line, or one JSON object."""
    if as_json:
        answer: dict[str, Any] = {"error": kind, "message": message, "hint": hint, "exit_code": code}
        click.echo(json.dumps(answer), err=True)
    else:
        click.echo(f"handoff-journal: {message}; {hint}" if hint else f"handoff-journal: {message}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
