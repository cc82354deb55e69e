"""What every command shares: ``--home``, ``--journal`` and ``--json``, taken before and after the command's name.

A command is written as::

    @click.command("status")
    @pass_place
    def command(place: Place) -> None:
        \"\"\"One line of help.\"\"\"

``pass_place`` stands right above the function, below the command's own options; the place is the first argument.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from journal.errors import NoJournal

if TYPE_CHECKING:
    from journal.store import Reader

DEFAULT_HOME = "~/.hermes"
HOME_VARIABLE = "HERMES_HOME"  # read at the very end: an option before the command's name comes before it


@dataclass(frozen=True, slots=True)
class Place:
    """Which home, which journal, and whether to answer in JSON. ``folder`` is where the journal's file lies."""

    home: Path
    folder: Path
    journal_path: Path
    as_json: bool = False

    def reader(self) -> Reader:
        """The journal, opened read-only.

        Raises:
            NoJournal: There is none, or not even the home.
        """
        from journal.store import Reader

        self.require_home()
        return Reader(self.journal_path)

    def require_home(self) -> None:
        """Raise ``NoJournal`` when neither the home nor the journal's folder exists."""
        if not self.folder.is_dir() and not self.home.is_dir():
            raise NoJournal(
                f"there is no folder {self.home}", hint="name a HERMES_HOME that exists: --home DIR, or the variable"
            )

    def require_live(self, *, keyless: bool = False) -> None:
        """Raise ``NoJournal`` unless this is the place of a journal that a gateway writes, not a copy of one.

        No copy that we make has a key beside it; with ``keyless`` the name alone is looked at. There need not be a journal yet.
        """
        self.require_home()
        if self.journal_path.name != "journal.db":
            raise NoJournal(f"{self.journal_path} is a copy: no gateway follows it", hint="name the home: --home DIR")
        if not keyless and self.journal_path.is_file() and not (self.folder / "key").exists():
            raise NoJournal(
                f"{self.journal_path} is a copy, since there is no key beside it: no gateway follows it",
                hint="name the home: --home DIR; if this is the home, restore its key",
            )

    def env(self) -> dict[str, str]:
        """Our environment for a gateway of this home: what it takes for its home is the one that was named here."""
        env = dict(os.environ)
        if self.folder == self.home / "handoff" and _told().resolve() != self.home.resolve():
            env[HOME_VARIABLE] = str(self.home.absolute())
        return env

    def emit(self, answer: object) -> None:
        """Print one JSON document to stdout."""
        click.echo(json.dumps(answer, indent=2))


@dataclass(frozen=True, slots=True)
class Given:
    """The common options as they were written; None where they were not."""

    home: Path | None = None
    journal: Path | None = None
    as_json: bool = False

    def over(self, earlier: Given) -> Given:
        """These, and the earlier ones where these say nothing."""
        return Given(self.home or earlier.home, self.journal or earlier.journal, self.as_json or earlier.as_json)

    def place(self) -> Place:
        """Where that is. A journal named by its file alone lies in the home above its ``handoff`` folder."""
        if self.journal is not None:
            folder = self.journal.parent
            home = self.home or (folder.parent if folder.name == "handoff" else folder)
            return Place(home, folder, self.journal, self.as_json)
        home = self.home or _told()
        folder = home / "handoff"
        return Place(home, folder, folder / "journal.db", self.as_json)


def _told() -> Path:
    """Which home the environment names, as for Hermes."""
    return Path(os.environ.get(HOME_VARIABLE, "").strip() or DEFAULT_HOME).expanduser()


class Named(click.Path):
    """A path that is not empty: an empty one would be the current folder, and comes from a variable that is not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("it is empty; is a variable not set?", param, ctx)
        return super().convert(value, param, ctx)


def hush() -> None:
    """Keep what libraries log out of our output; whatever matters to a person, a command says itself."""
    import logging

    logging.getLogger().addHandler(logging.NullHandler())


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The three options, for the group and for each command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def pass_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the common options and call it with its ``Place`` first."""

    @common_options
    @functools.wraps(function)
    def with_place(home: Path | None, journal: Path | None, as_json: bool, **others: Any) -> Any:
        earlier = click.get_current_context().find_object(Given) or Given()
        return function(Given(home, journal, as_json).over(earlier).place(), **others)

    return with_place


_OPTIONS = (
    click.option(
        "--home",
        type=Named(path_type=Path, file_okay=False),
        help=f"The gateway's home (HERMES_HOME; {DEFAULT_HOME} when neither is given).",
    ),
    click.option(
        "--journal",
        type=Named(path_type=Path, dir_okay=False),
        help="The journal's file, such as an exported one; HOME/handoff/journal.db when not given.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
)
