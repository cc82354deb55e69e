"""Arrows point down only: who may import what, and who may touch what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import ROOT

OURS = ("journal", "replay", "gateway_hooks")
BELOW = {"journal": {"journal"}, "replay": {"journal", "replay"}, "gateway_hooks": set(OURS)}
MODULES = sorted(path.relative_to(ROOT) for package in OURS for path in (ROOT / package).rglob("*.py"))

HERMES = {"hermes_cli", "gateway", "tools", "agent", "plugins", "telegram", "run_agent", "model_tools", "toolsets", "cron", "cli",
          "acp_adapter", "tui_gateway", "hermes_constants", "hermes_state", "hermes_logging", "utils"}  # fmt: skip
"""Top-level modules of a Hermes installation."""

DEMO_THAT_USES_THE_PROJECT = {"rig", "run", "knowable"}
"""Modules of ``gateway_hooks/demo`` that drive the project itself or read its record. The others are the world around it and must
not know it."""

OWN_TABLES = Path("gateway_hooks/reference/sessions.py")
"""The embedded gateway is a gateway like another: what it keeps in a file of its own is not the journal's."""

PROCESSES = {"subprocess", "signal", "multiprocessing"}
OS_CALLS = re.compile(
    r"kill|killpg|fork|forkpty|pidfd_open|exec[lv]\w*|posix_spawnp?|spawn[lv]\w*|wait|waitpid|waitid|wait3|wait4|system|popen"
)
DDL = re.compile(
    r"\b(CREATE|ALTER|DROP)\s+(UNIQUE\s+|TEMP\w*\s+|VIRTUAL\s+)?(TABLE|INDEX|TRIGGER|VIEW)\b", re.IGNORECASE
)


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, wherever that stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__", "find_spec"):
                yield str(node.args[0].value)


def _tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in _imports(_tree(path))}


def _attributes(path: Path, module: str) -> set[str]:
    """Which attributes of a module are used by name."""
    tree = _tree(path)
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == module}
    return used | {name.split(".")[1] for name in _imports(tree) if name.startswith(module + ".")}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down_only(path: Path) -> None:
    assert _tops(path) & {*OURS, "tests"} <= BELOW[path.parts[0]]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_one_subpackage_imports_hermes(path: Path) -> None:
    if path.parts[:2] != ("gateway_hooks", "hermes"):
        assert not _tops(path) & HERMES


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_one_module_touches_processes_and_signals(path: Path) -> None:
    if path == Path("gateway_hooks/process.py"):
        return
    assert not _tops(path) & PROCESSES
    assert {name for name in _attributes(path, "os") if OS_CALLS.fullmatch(name)} == set()
    assert not any("signal" in name for name in _attributes(path, "loop")), "signals reach a loop by way of process.py"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_one_module_holds_table_definitions(path: Path) -> None:
    texts = [n.value for n in ast.walk(_tree(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert path in (Path("journal/schema.py"), OWN_TABLES) or not any(DDL.search(text) for text in texts)


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "replay"], ids=str)
def test_the_middle_floor_touches_nothing_live(path: Path) -> None:
    assert not _tops(path) & {"os", "time", "socket", "threading", "asyncio", "random", "sqlite3"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[:2] == ("gateway_hooks", "demo")], ids=str)
def test_the_stand_ins_of_the_demo_do_not_know_the_project(path: Path) -> None:
    if path.stem not in DEMO_THAT_USES_THE_PROJECT:
        assert not _tops(path) & {"journal", "replay"}


def test_the_parts_that_are_named_here_exist() -> None:
    assert Path("journal/schema.py") in MODULES
    assert Path("gateway_hooks/process.py") in MODULES
    assert {p.parts[0] for p in MODULES} == set(OURS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os.path", {"os"}),
        ("def f():\n    from gateway.run import x", {"gateway"}),
        ("import importlib\nimportlib.import_module('gateway.run')", {"importlib", "gateway"}),
    ],
)
def test_an_import_is_found_wherever_it_hides(source: str, found: set[str]) -> None:
    assert {name.split(".")[0] for name in _imports(ast.parse(source))} == found
