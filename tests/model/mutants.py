"""The rules taken out, one at a time: of the law every ``raise`` and every row of rules, of the decisions every ``case`` and every
``return``.

A mutant is made from the syntax tree of the module as it stands, so that a new rule is a new mutant by itself. Its name is made of
what it takes out, not of a line's number.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from journal import law
from replay import decide
from tests.model.book import Rules

Rule = Callable[..., None]
MODULES = {"law": law, "decide": decide}


@dataclass(frozen=True)
class Mutant:
    """What is taken out: ``kind`` is ``raise``, ``rule``, ``call``, ``return``, ``case`` or ``set``; ``place`` counts them
    in each module."""

    name: str
    module: str
    kind: str
    place: int


def mutants() -> list[Mutant]:
    """Every mutant of both modules, in the order of the source."""
    out: list[Mutant] = []
    for module in MODULES:
        names: dict[str, int] = {}
        for place, (where, kind, node) in enumerate(_sites(module, _tree(module))):
            name = f"{module}.{where}: {kind} {_text(node)}"
            names[name] = names.get(name, 0) + 1
            out.append(Mutant(name if names[name] == 1 else f"{name} #{names[name]}", module, kind, place))
    return out


def without(mutant: Mutant) -> Rules:
    """The product without what the mutant takes out."""
    return _rules(mutant.module, mutated(mutant), {})


def rebuilt(module: str) -> Rules:
    """The product as it is, that module built from its tree like a mutant."""
    return _rules(module, _tree(module), {})


def mutated(mutant: Mutant) -> ast.Module:
    """The module's syntax tree without it."""
    tree = _tree(mutant.module)
    _, kind, node = list(_sites(mutant.module, tree))[mutant.place]
    if kind == "rule":
        table = next(n for n in ast.walk(tree) if isinstance(n, ast.Dict) and node in n.values)
        row = table.values.index(node)  # type: ignore[arg-type]
        del table.keys[row], table.values[row]
    elif isinstance(node, ast.match_case):
        node.body = [ast.copy_location(ast.Return(ast.Constant(None)), node.body[0])]
    else:
        _exchange(tree, node, [ast.copy_location(ast.Pass(), node)])
    return tree


def counted(hits: set[str]) -> Rules:
    """The product as it is; what a mutant would take out is added to ``hits`` whenever it is reached."""
    built = {}
    for module in MODULES:
        tree = _tree(module)
        for mutant, (_, kind, node) in zip(
            [m for m in mutants() if m.module == module], list(_sites(module, tree)), strict=True
        ):
            hit = ast.parse(f"_hit({mutant.name!r})").body[0]
            ast.copy_location(hit, node if not isinstance(node, ast.match_case) else node.body[0])
            if isinstance(node, ast.match_case):
                node.body = [hit, *node.body]
            elif kind == "rule":
                table = next(n for n in ast.walk(tree) if isinstance(n, ast.Dict) and node in n.values)
                watched = ast.Call(ast.Name("_watched", ast.Load()), [ast.Constant(mutant.name), node], [])  # type: ignore[list-item]
                table.values[table.values.index(node)] = watched  # type: ignore[arg-type]
            elif kind == "call":
                attempt = ast.parse(f"try: pass\nexcept Exception: _hit({mutant.name!r}); raise").body[0]
                assert isinstance(attempt, ast.Try)
                attempt.body = [node]  # type: ignore[list-item]
                _exchange(tree, node, [attempt])
            else:
                _exchange(tree, node, [hit, node])  # type: ignore[list-item]
        built[module] = getattr(_rules(module, tree, {"_hit": hits.add, "_watched": watched_by(hits)}), module)
    return Rules(**built)


def watched_by(hits: set[str]) -> Callable[[str, Rule], Rule]:
    """Wraps a rule so that its name is told once it refuses something."""

    def watched(name: str, rule: Rule) -> Rule:
        def asked(*about: Any) -> None:
            try:
                rule(*about)
            except Exception:
                hits.add(name)
                raise

        return asked

    return watched


def _tree(module: str) -> ast.Module:
    file = MODULES[module].__file__
    assert file
    with open(file, encoding="utf-8") as source:  # noqa: PTH123
        return ast.parse(source.read())


def _sites(module: str, tree: ast.Module) -> Iterator[tuple[str, str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield from _in_function(module, node)
        elif (
            isinstance(node, ast.AnnAssign)
            and getattr(node.target, "id", "") == "_RULES"
            and isinstance(node.value, ast.Dict)
        ):
            yield from (("_RULES", "rule", value) for value in node.value.values)


def _in_function(module: str, function: ast.FunctionDef) -> Iterator[tuple[str, str, ast.AST]]:
    def walk(body: list[ast.stmt], where: str, nested: bool) -> Iterator[tuple[str, str, ast.AST]]:
        for n, node in enumerate(body):
            last = n == len(body) - 1
            if module == "law":
                if isinstance(node, ast.Raise):
                    yield where, "raise", node
                elif where == "check" and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                    yield where, "call", node
            elif isinstance(node, ast.Return):
                nothing = isinstance(node.value, ast.Constant) and node.value.value is None
                if not (nothing and last and not nested):
                    yield where, "return", node
            elif isinstance(node, ast.Assign) and nested:
                yield where, "set", node
            if isinstance(node, ast.If):
                yield from walk(node.body, where, True)
                yield from walk(node.orelse, where, True)
            elif isinstance(node, ast.For):
                yield from walk(node.body, where, True)
            elif isinstance(node, ast.Match):
                for case in node.cases:
                    plain = len(case.body) == 1 and isinstance(case.body[0], ast.Return)
                    if not plain:
                        yield where, "case", case
                    yield from walk(case.body, f"{where}/{ast.unparse(case.pattern)}", False)

    yield from walk(function.body, function.name, False)


def _text(node: ast.AST) -> str:
    text = ast.unparse(node.pattern) if isinstance(node, ast.match_case) else ast.unparse(node)
    text = text.removeprefix("raise ").removeprefix("return ").split(", hint=")[0]
    return " ".join(text.split())[:110]


def _exchange(tree: ast.Module, old: ast.AST, new: list[ast.stmt]) -> None:
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list) and old in block:
                at = block.index(old)
                block[at : at + 1] = new
                return
    raise AssertionError("not in the tree")


def _rules(module: str, tree: ast.Module, extra: dict[str, object]) -> Rules:
    name = f"tests.model.mutated_{module}"
    built = ModuleType(name)
    built.__dict__.update(extra)
    sys.modules[name] = built  # dataclasses look their module up
    try:
        exec(compile(ast.fix_missing_locations(tree), name, "exec"), built.__dict__)
    finally:
        del sys.modules[name]
    return Rules(**{**MODULES, module: built})
