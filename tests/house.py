"""House numbers: files, pages and functions stay small. Run by `make check`; prints what is too long."""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "app.py",
    *sorted(ROOT.glob("pages/*.py")),
    *sorted(ROOT.glob("simulator/*.py")),
    *sorted(ROOT.glob("monitor_core/**/*.py")),
]
LONGEST_FILE, LONGEST_PAGE, LONGEST_FUNCTION, NINE_IN_TEN = 400, 100, 60, 30


def functions(path: Path) -> list[tuple[str, int]]:
    """(name, lines) of every function; one that only holds others (a router) counts without them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [
                n for n in ast.walk(node) if n is not node and isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            held = sum(lines(n) for n in inner)
            found.append((f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines(node) - held))
    return found


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def main() -> int:
    faults = []
    for path in FILES:
        n = len(path.read_text().splitlines())
        if n > (LONGEST_PAGE if path.parent.name == "pages" else LONGEST_FILE):
            faults.append(f"{path.relative_to(ROOT)} has {n} lines")
    every = [item for path in FILES for item in functions(path)]
    faults += [f"{name} has {n} lines" for name, n in every if n > LONGEST_FUNCTION]
    sizes = sorted(n for _, n in every)
    ninth = sizes[int(len(sizes) * 0.9)]
    if ninth > NINE_IN_TEN:
        faults.append(f"nine functions in ten have up to {ninth} lines, {NINE_IN_TEN} are allowed")
    print(*faults, sep="\n", end="\n" if faults else "")
    print(
        f"{len(FILES)} files, {len(sizes)} functions: median {statistics.median(sizes):.0f} lines,"
        f" nine in ten up to {ninth}"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
