"""The house style, as far as a machine can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import ROOT
from tests.test_layers import MODULES

LONGEST = 400
CATALOGUES = {Path("journal/events.py"): 520}
"""Lists that are read by looking up, not from top to bottom."""

TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
TEXTS = sorted(
    path.relative_to(ROOT)
    for folder in ("journal", "replay", "gateway_hooks", "tests", "docs", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
) + sorted(path.relative_to(ROOT) for path in ROOT.iterdir() if path.is_file() and path.name != ".git")  # a worktree's
LEFT_OUT = {"skip", "skipif", "xfail", "importorskip"}
MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp/x|root|home/\w+)(?:/|\b)")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def _public(tree: ast.Module) -> Iterator[Definition]:
    """Public classes and functions of a module. A method's word stands in its class, or in the port that it fills."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_one_idea_and_says_which(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= CATALOGUES.get(path, LONGEST)
    assert ast.get_docstring(_tree(path)), "no docstring"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_what_is_public_is_described(path: Path) -> None:
    bare = [f"{node.name}, line {node.lineno}" for node in _public(_tree(path)) if not ast.get_docstring(node)]
    assert not bare


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=str)
def test_no_module_is_a_drawer_for_the_rest(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}


@pytest.mark.parametrize("path", TESTS, ids=str)
def test_no_test_sleeps_or_is_left_out(path: Path) -> None:
    tree = _tree(path)
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    used = {(getattr(n.value, "id", getattr(n.value, "attr", "")), n.attr) for n in attributes}
    left_out = {(of, name) for of, name in used if of in ("pytest", "mark") and name in LEFT_OUT}
    real_clock = any(isinstance(n, ast.Import) and any(a.name == "time" for a in n.names) for n in ast.walk(tree))
    slept = real_clock and ("time", "sleep") in used
    assert not left_out
    assert not slept


@pytest.mark.parametrize("path", [p for p in TESTS if p.name.startswith("test_")], ids=str)
def test_the_name_of_a_test_is_a_sentence(path: Path) -> None:
    names = [n.name for n in ast.walk(_tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    short = [name for name in names if name.startswith("test_") and name.count("_") < 3]
    assert not short


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_no_text_knows_the_machine_it_was_written_on(path: Path) -> None:
    found = MACHINE.findall((ROOT / path).read_text("utf-8", "replace"))
    assert not found


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (("cd ", "work", "main"), 1),
        (("see ", "tmp", "x", "dev"), 1),
        (("~ is ", "home", "somebody"), 1),
        ((".", "root", "x a", "work", "b"), 0),
        (("", "tmp", "xyz"), 0),
    ],
)
def test_a_machines_path_is_recognised(parts: tuple[str, ...], found: int) -> None:
    """The examples are put together here, so that no text of the project holds one."""
    assert len(MACHINE.findall("/".join(parts))) == found
