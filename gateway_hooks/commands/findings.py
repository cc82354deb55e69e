"""What ``doctor`` and ``promote --dry-run`` look at. Nothing here changes anything."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gateway_hooks import preflight as preflighting
from gateway_hooks import runtimes, surroundings
from gateway_hooks.commands.shared import Place
from gateway_hooks.gateway import Finding
from gateway_hooks.hanging import silent_at_rest, unheard_s
from gateway_hooks.preflight import NotFit
from gateway_hooks.process import System, output_of
from journal.bell import read_head
from journal.errors import Busy, HandoffError
from journal.gate import Gate
from journal.store import Reader
from replay.fold import State, apply

LEAST_FREE_MB = 64
LITTLE_FREE_MB = 512
ANSWERS_WITHIN_S = 20.0
SILENT_AFTER_S = 200.0
"""An idle gateway samples its own loop each minute; three missed ones are no accident."""


def report(place: Place, found: Iterable[Finding]) -> int:
    """Print the findings and return the exit code: 1 when one is an error."""
    findings = tuple(found)
    bad = any(f.severity == "error" for f in findings)
    if place.as_json:
        answer: dict[str, Any] = {
            "good": not bad,
            "findings": [{"code": f.code, "severity": f.severity, "text": f.text} for f in findings],
        }
        place.emit(answer)
    else:
        for f in findings:
            click.echo(f"{f.severity:<8} {f.code:<20} {f.text}")
    return 1 if bad else 0


def doctor(place: Place, runtime: str = runtimes.SAME) -> list[Finding]:
    """Everything about a home, and what preflight would say of a promote to ``runtime``."""
    state, found = journal_findings(place)
    found += [*folder_findings(place.folder), *gate_findings(place.folder), *disk_findings(place.folder)]
    if state is not None:
        in_the_way = [replace(f, severity="warning") if f.severity == "error" else f for f in handoff_findings(state)]
        found += [*in_the_way, *gateway_findings(state, System()), *service_findings(place.folder, state)]
    if runtime != runtimes.SAME or (state is not None and state.head.owning):
        found.append(runtime_finding(place.folder, runtime))
    found += [*plugin_findings(place.home, state), *way_findings(place.home, state)]
    if state is None or state.head.open or any(f.severity == "error" for f in found):
        return found
    return [*found, *memory_findings(state), *hermes_findings(place, state, runtime, turn=True)]


def require_fit(place: Place, runtime: str, *, way_back: bool) -> None:
    """Ask green's interpreter whether it could serve, before anything is asked of blue; a Hermes only.

    Raises:
        NotFit: It could not, or blue could not go on after it and ``way_back`` is wanted.
    """
    with closing(place.reader()) as reader:
        state, _ = _read(reader)
    bad = [f for f in hermes_findings(place, state, runtime, way_back=way_back) if f.severity == "error"]
    if bad:
        raise NotFit(f"preflight: {bad[0].text}", hint=f"{bad[0].code}; 'handoff-journal promote --dry-run' shows all")


def hermes_findings(
    place: Place, state: State, runtime: str, *, turn: bool = False, way_back: bool = True
) -> list[Finding]:
    """What green's and blue's own interpreters say; nothing where no Hermes serves."""
    owner, started = state.head.owning, state.started.get(state.head.owner)
    if owner is None or started is None or started.gateway != "hermes" or System().probe(owner) != "running":
        return []
    found = runtimes.find(place.folder, runtime)
    return preflighting.hermes(place.home, found, preflighting.Blue.of(owner), turn=turn, way_back=way_back)


def preflight(place: Place, runtime: str, *, way_back: bool = True) -> list[Finding]:
    """Whether a promote would work now.

    Raises:
        NoJournal: There is no journal to look into.
    """
    place.reader().close()
    state, found = journal_findings(place)
    if state is not None:
        found += [*handoff_findings(state), *gateway_findings(state, System(), needed=True)]
        found += service_findings(place.folder, state)
    found += [*gate_findings(place.folder), *disk_findings(place.folder), runtime_finding(place.folder, runtime)]
    found += way_findings(place.home, state)
    kind = state.started[state.head.owner].gateway if state and state.head.owner in state.started else ""
    if kind == "reference" or state is None:
        return found
    found += [enabled_finding(place.home)] if (place.home / "config.yaml").is_file() else []
    if any(f.severity == "error" for f in found):
        return found
    return [*found, *memory_findings(state), *hermes_findings(place, state, runtime, turn=True, way_back=way_back)]


# ------------------------------------------------------------------------------------------- the record


def journal_findings(place: Place) -> tuple[State | None, list[Finding]]:
    """The folded state when the journal can be read, and what is to be said of it; its bell must not know of more."""
    try:
        with closing(place.reader()) as reader:
            state, digest = _read(reader)
    except HandoffError as error:
        return None, [Finding("journal", "error", error.line())]
    found = [Finding("journal", "ok", f"{place.journal_path}: {state.head.seq} events")]
    head = read_head(place.folder / "bell")
    if head is not None and (head[0] > state.head.seq or (head[0] == state.head.seq and head[1] != digest)):
        text = f"the bell knows seq {head[0]}, the journal ends at {state.head.seq} or otherwise: run 'handoff-journal verify'"
        found.append(Finding("journal.tail", "error", text))
    return state, found


def _read(reader: Reader) -> tuple[State, bytes]:
    state, digest = State(), b""
    for record in reader.all():
        state, digest = apply(state, record), record.hash
    return state, digest


def folder_findings(folder: Path) -> list[Finding]:
    """The key, and who may read what."""
    key = folder / "key"
    if not key.exists() and not (folder / "journal.db").exists():
        return []  # nothing was installed here: the journal's line says so
    found = []
    if not key.is_file() or key.stat().st_size != 32:
        found.append(Finding("key", "error", f"{key} is missing or damaged: restore it; without it pseudonyms differ"))
    else:
        found.append(Finding("key", "ok", f"{key} is there"))
    for path, wanted in ((folder, 0o700), (key, 0o600), (folder / "journal.db", 0o600)):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            text = f"{path} has mode {mode:04o}, others can get at it: chmod {wanted:o} {path}"
            found.append(Finding("modes", "error", text))
    if not any(f.code == "modes" for f in found) and folder.is_dir():
        found.append(Finding("modes", "ok", "nobody else can read the journal or its key"))
    return found


def gate_findings(folder: Path) -> list[Finding]:
    """Whether the gate opens within a second."""
    if not (folder / "gate").exists():
        return []
    try:
        with closing(Gate(folder / "gate", deadline_s=1.0)) as gate, gate.held():
            pass
    except Busy as error:
        return [Finding("gate", "error", error.line())]
    except HandoffError as error:
        return [Finding("gate", "error", error.line())]
    return [Finding("gate", "ok", "the journal can be written to")]


def disk_findings(folder: Path) -> list[Finding]:
    """Room for the journal."""
    if not folder.is_dir():
        return []
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < LEAST_FREE_MB:
        return [Finding("disk", "error", f"{free_mb} MB free at {folder}: make room for {LEAST_FREE_MB} MB at least")]
    if free_mb < LITTLE_FREE_MB:
        return [Finding("disk", "warning", f"only {free_mb} MB free at {folder}")]
    return [Finding("disk", "ok", f"{free_mb} MB free")]


def memory_findings(state: State) -> list[Finding]:
    """Room for two gateways: as much again as the running one takes."""
    samples = state.samples.get(state.head.owner, ())
    taken_mb = samples[-1].health.rss_mb if samples else 0.0
    free_mb = next(
        (
            int(line.split()[1]) // 1024
            for line in Path("/proc/meminfo").read_text().splitlines()
            if "MemAvailable" in line
        ),
        0,
    )
    if free_mb < taken_mb:
        text = f"{free_mb} MB of memory free, the gateway takes {taken_mb:.0f} MB: a second one would not fit beside it"
        return [Finding("memory", "error", text)]
    return [Finding("memory", "ok", f"{free_mb} MB free, the gateway takes {taken_mb:.0f} MB")]


# ------------------------------------------------------------------------------------------- the gateway


def gateway_findings(state: State, system: System, *, needed: bool = False) -> list[Finding]:
    """Whether the owner of the adapters lives and shows it. Without ``needed`` a home where nobody serves is a warning only."""
    owner = state.head.owning
    how = system.probe(owner) if owner is not None else "dead"
    if owner is None or how == "dead":
        text = "no gateway runs in this home: start it with the plugin enabled"
        return [Finding("gateway", "error" if needed or owner is not None else "warning", text)]
    if how == "stopped":
        return [Finding("gateway", "error", f"process {owner.pid} is stopped: kill -CONT {owner.pid}")]
    started, now = state.started.get(state.head.owner), system.now()
    quiet_s = unheard_s(state, now, owner.boot)
    text = f"process {owner.pid} has shown no sign of life for {quiet_s:.0f} s: look at its log"
    if quiet_s > SILENT_AFTER_S:
        return [Finding("gateway.silent", "error", f"{text}, or start it again")]
    if silent_at_rest(state, now, owner.boot):
        return [Finding("gateway.silent", "warning", f"{text}; if it hangs, 'promote --force' takes over without it")]
    what = f"{started.gateway} {started.version}, runtime {started.runtime}" if started else "of unknown kind"
    return [Finding("gateway", "ok", f"process {owner.pid} serves ({what})")]


def service_findings(folder: Path, state: State) -> list[Finding]:
    """What whoever watches the gateway would make of a promote; nothing where no gateway runs."""
    owner = state.head.owning
    if owner is None or System().probe(owner) == "dead":
        return []
    try:
        env = preflighting.Blue.of(owner).env
    except HandoffError as error:
        return [Finding("service", "warning", error.line())]
    return [surroundings.finding(folder, owner.pid, env)]


def handoff_findings(state: State) -> list[Finding]:
    """Whether the last handoff stands in the way."""
    head = state.head
    if head.open:
        text = f"{head.handoff} is open, in phase {head.phase}: end it with 'rollback' or 'complete'"
        return [Finding("handoff.open", "error", text)]
    left = head.process("green" if head.owner == "blue" else "blue")
    if left is not None and System().probe(left) != "dead":
        text = f"process {left.pid} of the last handoff is still finishing its turns: wait until it has exited"
        return [Finding("handoff.left", "error", text)]
    return [Finding("handoff", "ok", "none is open")]


def runtime_finding(folder: Path, name: str) -> Finding:
    """Whether the runtime exists, its interpreter runs, and handoff-journal is installed for it."""
    try:
        runtime = runtimes.find(folder, name)
        if runtime.python is None:
            return Finding("runtime", "ok", f"{name}: the running gateway's own interpreter")
        version = output_of([runtime.python, "-c", _ASK], timeout_s=ANSWERS_WITHIN_S)
    except HandoffError as error:
        said = error.line()
        if "No module named 'gateway_hooks'" in said:
            said = f"handoff-journal is not installed there: {runtime.python} -m pip install handoff-journal"
        return Finding("runtime", "error", f"{name}: {said}")
    return Finding("runtime", "ok", f"{name}: {runtime.python}, {version}")


_ASK = (
    "import sys, importlib.metadata as m, gateway_hooks.seat; "
    "print('Python ' + sys.version.split()[0] + ', handoff-journal ' + m.version('handoff-journal'))"
)


# ------------------------------------------------------------------------------------------- Hermes


def plugin_findings(home: Path, state: State | None) -> list[Finding]:
    """The seams of the Hermes beside this command, and whether the home enables the plugin."""
    reference = state is not None and any(s.gateway == "reference" for s in state.started.values())
    if not (home / "config.yaml").is_file():
        text = f"{home} has no config.yaml: no Hermes home"
        return [Finding("plugin", "ok" if reference else "warning", text)]
    found = [enabled_finding(home)]
    try:
        importlib.metadata.version("hermes-agent")
    except importlib.metadata.PackageNotFoundError:
        text = "hermes-agent is not installed beside this command: run 'doctor' in the gateway's own environment"
        return [*found, Finding("hermes.missing", "warning", text)]
    from gateway_hooks.hermes import seams

    return [*found, *seams.findings()]


def enabled_finding(home: Path) -> Finding:
    """Whether config.yaml enables the plugin."""
    from gateway_hooks.hermes import install

    path = home / "config.yaml"
    try:
        if install.enabled(path.read_text(encoding="utf-8")):
            return Finding("plugin", "ok", f"enabled in {path}")
    except HandoffError as error:
        return Finding("plugin", "error", f"{path}: {error.line()}")
    except (OSError, UnicodeDecodeError) as error:
        return Finding("plugin", "error", f"{path} cannot be read: {error}")
    return Finding("plugin", "error", f"not enabled in {path}: run 'handoff-journal install'")


_WEBHOOK = re.compile(r"^\s*(?:export\s+)?TELEGRAM_WEBHOOK_URL\s*=\s*[\"']?\s*[^\s\"'#]", re.MULTILINE)


def way_findings(home: Path, state: State | None) -> list[Finding]:
    """How each adapter changes hands: ``warm`` within milliseconds, ``general`` by a disconnect and a reconnect."""
    names = {adapter.split(":", 1)[0] for adapter in state.head.connected} if state else set()
    hooked = " by webhook" if webhook(home, state) else ""
    return [
        Finding("adapter", "ok", f"{name}: warm, polls again within milliseconds")
        if name == "telegram" and not hooked
        else Finding(
            "adapter",
            "warning",
            f"{name}{hooked if name == 'telegram' else ''}: general, disconnects and reconnects; its messages are not in the journal",
        )
        for name in sorted(names | configured(home))
    ]


def webhook(home: Path, state: State | None) -> bool:
    """Whether Telegram is told to deliver by itself, in the gateway's environment or in the home's ``.env``."""
    owner = state.head.owning if state else None
    if owner is not None and System().probe(owner) != "dead":
        with suppress(HandoffError):
            if preflighting.Blue.of(owner).env.get("TELEGRAM_WEBHOOK_URL", "").strip():
                return True
    try:
        return bool(_WEBHOOK.search((home / ".env").read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return False


def configured(home: Path) -> set[str]:
    """The platforms that config.yaml enables; none when it cannot be read."""
    path = home / "config.yaml"
    if not path.is_file():
        return set()
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        read = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return set()
    platforms = read.get("platforms") if isinstance(read, dict) else None
    if not isinstance(platforms, dict):
        return set()
    return {str(name) for name, of in platforms.items() if isinstance(of, dict) and of.get("enabled")}
