"""When the journal cannot be written: the gateway goes on as if the plugin were not there, and says so, once and loudly.

That holds while no handoff is open. While one is open nothing is confirmed that cannot be appended: two processes could not agree
on anything else. The reserve is given back to the disk then, and only what ends the handoff is written; when that does not help,
``replay.alone`` says who serves. A full disk may be over soon, so writing is tried again and again; a journal that is gone or was
altered is not.
"""

from __future__ import annotations

import logging

from journal.errors import DiskTrouble, HandoffError, NoJournal, Unusable

log = logging.getLogger("handoff_journal")
UNWRITABLE = (DiskTrouble, Unusable, NoJournal)
"""What an append raises when neither the law nor another writer stands in the way, but the journal itself."""
FOR_GOOD = (Unusable, NoJournal)
"""Of these, what a person has to look at: nothing is written any more before the gateway is started again."""


class Trouble:
    """Whether the journal can be written at the moment. ``last`` is why not, None when it can.

    ``spares`` while the disk's last room is kept for the end of the handoff: no message is accepted. ``alone`` while this process
    serves without the journal though a handoff was open.
    """

    def __init__(self) -> None:
        self.last: HandoffError | None = None
        self.spares: HandoffError | None = None
        self.alone = False
        self._said = False

    @property
    def for_good(self) -> bool:
        return isinstance(self.last, FOR_GOOD)

    def met(self, error: HandoffError) -> None:
        """An append has failed for good or for now."""
        if not self.for_good:
            self.last = error

    def gave_the_reserve(self) -> None:
        """The reserve was given back: say so, and keep it for the end of the handoff."""
        self.spares = self.last
        if self.last is not None:
            log.critical("THE JOURNAL CANNOT BE WRITTEN: %s", self.last.line())
            log.critical("its reserve was given back to the disk, and pays for the end of the handoff")

    def goes_on_without(self) -> None:
        """The gateway goes on without the journal from here: say so once."""
        if self.last is None or self._said:
            return
        self._said = True
        until = "until the gateway is started again" if self.for_good else "until it can be written again"
        log.critical("THE JOURNAL CANNOT BE WRITTEN: %s", self.last.line())
        log.critical(
            "the gateway goes on without it: no handoff is possible and no message is in the journal %s", until
        )

    def over(self) -> None:
        """Something was appended."""
        if self.for_good:
            return
        self.alone = False  # also where that was decided before, and said after, the trouble was over
        if self.last is not None:
            self.last = None
            if self._said:
                log.critical("the journal can be written again; messages are in it from here on")
            self._said = False
