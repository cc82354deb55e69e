"""What a keeper tells a service manager (``sd_notify``), and when it stops saying that all is well.

The watchdog is fed by the health of the gateway that serves, not by the keeper's own: a gateway that lives and whose loop hangs gives
no sample, and then nothing is said. Where there is no record there are no samples to judge by, and its process' life is all.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway_hooks.hanging import may_write
from journal.events import Process
from journal.record import Stamp
from replay.decide import PeerIs
from replay.fold import State

OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What is meant for the process that the manager watches, and for none of its children."""
HUNG_S = 300.0
"""After so long without a sample a keeper ends a gateway; half of that, and it is not called well any more."""
STARTING_S = 120.0
"""A gateway that has been starting for longer than this comes to nothing."""
UNHEARD_S = 60.0
"""One that lives for so long without a word in the journal is one that does without it."""
_AT_MOST_S = 0.5
_ASKED_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the keeper sees of the gateway that serves, or is to.

    ``serving`` is who serves, or who was started and has no seat yet; ``how`` is the operating system's word on it; ``seated`` whether
    the journal knows it as the owner. ``started_s`` is how long ago the keeper started somebody last, ``waits`` whether the keeper
    itself lets time pass before it starts one.
    """

    serving: Process | None
    how: PeerIs = "none"
    seated: bool = False
    started_s: float = float("inf")
    waits: bool = False


def ready(seen: Seen) -> bool:
    """Whether a gateway serves: it owns the adapters by the record, or has lived for long without one."""
    return seen.how == "running" and (seen.seated or seen.started_s >= UNHEARD_S)


def quiet_s(state: State, process: Process, now: Stamp, boot: str) -> float:
    """For how long a process has given no health sample, counted from the beginning of the phase at the earliest."""
    moments = [s.moment for of in state.samples.values() for s in of if s.process == process]
    side = state.head.side_of(process)
    if not moments and side in state.seen:  # it has sat down, and is about to give its first one
        moments.append(state.seen[side])
    if state.entered is not None:
        moments.append(state.entered)
    since = max(moments, key=lambda moment: moment.seq, default=None)
    return since.elapsed_s(now.at_ns, now.mono_ns, boot) if since else 0.0


def healthy(state: State, seen: Seen, now: Stamp, boot: str, *, sampled_s: float, recorded: bool) -> bool:
    """Whether the service is as it should be.

    Args:
        state: What the record says.
        seen: What is to be seen besides.
        now: The time, of ``boot``.
        boot: The boot that the keeper lives in.
        sampled_s: A gateway that has given no sample for so long hangs.
        recorded: Whether the record can be read and written, so that a missing sample means something.
    """
    if seen.how == "stopped":
        return False
    if seen.serving is None or seen.how != "running":
        return seen.waits or seen.started_s < STARTING_S
    return not seen.seated or not recorded or quiet_s(state, seen.serving, now, boot) < sampled_s


def status(state: State, seen: Seen, *, well: bool) -> str:
    """One line for ``systemctl status``."""
    head = state.head
    if seen.serving is None or seen.how in ("dead", "none"):
        return "nobody serves; a gateway is being started"
    who = f"process {seen.serving.pid}"
    if not well:
        return f"{who} gives no sign of health" if seen.how == "running" else f"{who} is stopped"
    if not seen.seated:
        return f"{who} runs, without the journal" if seen.started_s >= UNHEARD_S else f"{who} is starting"
    runs = state.started.get(head.owner)
    runtime = f", runtime {runs.runtime}" if runs else ""
    doing = f"; handoff {head.handoff}: {head.phase.replace('_', ' ')}" if head.open else ""
    return f"{head.owner} serves, {who}{runtime}{doing}"


def notify(message: str, address: str) -> bool:
    """Send the service manager a message; what cannot be sent now is left out, since nobody waits for a service manager."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.setblocking(False)
        out.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
        return True
    return False


class Notifier:
    """The keeper's mouth. Says nothing where nobody has asked to be told."""

    def __init__(self, env: Mapping[str, str], folder: Path, boot: str, hung_s: float) -> None:
        self._sampled_s = min(hung_s or HUNG_S, HUNG_S) / 2
        self._address = env.get("NOTIFY_SOCKET", "")
        mine = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._fed = self._address != "" and mine and env.get("WATCHDOG_USEC", "0") not in ("", "0")
        self._folder, self._boot = folder, boot
        self._ready = False
        self._said = ""
        self._fed_ns = self._asked_ns = 0
        self._recorded = True

    def look(self, state: State, seen: Seen, now: Stamp, *, recorded: bool) -> None:
        """Say what is new. ``recorded`` is whether there is a record into which who serves writes its samples."""
        if not self._address:
            return
        due = now.mono_ns - self._fed_ns >= _AT_MOST_S * 1e9
        if not due and self._ready:
            return
        well = healthy(state, seen, now, self._boot, sampled_s=self._sampled_s, recorded=True)
        if not well and seen.serving is not None:  # before that is believed: could it have given a sample at all?
            if now.mono_ns - self._asked_ns >= _ASKED_S * 1e9:
                self._asked_ns, self._recorded = now.mono_ns, recorded and may_write(self._folder, seen.serving)
            well = healthy(state, seen, now, self._boot, sampled_s=self._sampled_s, recorded=self._recorded)
        words = []
        if not self._ready and ready(seen):
            words += ["READY=1", f"MAINPID={os.getpid()}"]
        line = status(state, seen, well=well)
        if line != self._said:
            words.append(f"STATUS={line}")
        if due:
            words += ["WATCHDOG=1"] if well and self._fed else []
            self._fed_ns = now.mono_ns
        if words and notify("\n".join(words), self._address):
            self._said = line
            self._ready = self._ready or "READY=1" in words

    def stopping(self) -> None:
        """The keeper ends its gateways, and itself."""
        if self._address:
            notify("STOPPING=1\nSTATUS=ending the gateways", self._address)
