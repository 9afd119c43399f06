"""Prints what can be counted of the shape of the source, one column a checkout.

    python tools/house_table.py ../before .

Reads files with ``ast`` and ``tokenize`` alone; nothing is imported or run.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path("src/whence")
FAMILIES = frozenset({
    "Additive", "OptimalTree", "Prototypes", "RuleList", "Scorecard", "Transformer",
    "DecisionTree", "SparseLinear", "TreeSum",
})  # fmt: skip
"""The classes of student families, beside those whose name begins with ``Fitted``."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the package: its dotted name, its text, its tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


def modules(checkout: Path) -> list[Module]:
    root = checkout / PACKAGE
    result = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text("utf-8")
        parts = ("whence", *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        result.append(Module(name, path, text, ast.parse(text)))
    return result


def functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """Parameters of a function, without ``self`` and ``cls``."""
    spec = function.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    variadic = (spec.vararg is not None) + (spec.kwarg is not None)
    return len([name for name in names if name not in ("self", "cls")]) + variadic


def comment_lines(module: Module) -> int:
    """Lines that are a comment and nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return sum(t.type == tokenize.COMMENT and not t.line[: t.start[1]].strip() for t in tokens)


def is_family(name: str) -> bool:
    return name in FAMILIES or re.fullmatch(r"Fitted\w+", name) is not None


def family_branches(module: Module) -> int:
    """Calls ``isinstance(x, FAMILY)`` in a file that defines no family itself."""
    defined = {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}
    if "families" in module.path.parts or any(map(is_family, defined)):
        return 0
    count = 0
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                named = (n.id for n in ast.walk(kinds) if isinstance(n, ast.Name))
                count += any(map(is_family, named))
            case _:
                pass
    return count


def imports(module: Module, known: frozenset[str], *, lazy: bool = False) -> set[str]:
    """Modules of the package that are imported when this one is; with ``lazy`` when it is used, too."""
    result: set[str] = set()
    pending: list[ast.AST] = list(module.tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            result.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                result.add(full if full in known else node.module)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return (result & known) - {module.name}


def in_cycles(graph: dict[str, set[str]]) -> int:
    """Modules that reach themselves through imports."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        pending = list(graph[start])
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += graph[name]
        return seen

    return sum(name in reached(name) for name in graph)


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}".replace("%", " %")


def table(checkout: Path) -> dict[str, str]:
    """What is counted, by the name of its row."""
    found = modules(checkout)
    every = [function for module in found for function in functions(module)]
    lengths = sorted(map(length, every))
    known = frozenset(module.name for module in found)
    lines = [module.lines for module in found]
    participles = [m for m in found if m.path.stem.endswith("ing")]
    return {
        "files": f"{len(found)}",
        "lines of source": f"{sum(lines):,}",
        "median file, lines": f"{statistics.median(lines):.0f}",
        "largest file, lines": f"{max(lines)}",
        "function at the 95th percentile, lines": f"{lengths[int(0.95 * len(lengths))]}",
        "largest function, lines": f"{lengths[-1]}",
        "functions above 60 lines": f"{sum(n > 60 for n in lengths)}",
        "most parameters of a function": f"{max(map(parameters, every))}",
        "functions of more than 5 parameters": f"{sum(parameters(f) > 5 for f in every)}",
        "comment lines": share(sum(map(comment_lines, found)), sum(lines)),
        "modules in an import cycle": f"{in_cycles({m.name: imports(m, known) for m in found})}",
        "the same, imports inside functions included": (
            f"{in_cycles({m.name: imports(m, known, lazy=True) for m in found})}"
        ),
        "isinstance branches on student families": f"{sum(map(family_branches, found))}",
        "modules whose name ends in -ing": f"{len(participles)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkouts", type=Path, nargs="+", help="folders that hold src/whence")
    checkouts: list[Path] = parser.parse_args().checkouts
    columns = [table(checkout) for checkout in checkouts]
    print("| | " + " | ".join(str(checkout) for checkout in checkouts) + " |")
    print("|---|" + "---|" * len(columns))
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


if __name__ == "__main__":
    main()
