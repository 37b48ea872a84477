"""One search for a row's id lists its declaration, its handler and its callers, and nothing that misleads."""

from __future__ import annotations

import ast
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from sota.boundaries.ends import Ends, find_ends
from sota.boundaries.table import TABLE

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src"
DECLARES = {"row", "like", "carries", "passed_on"}
ENDS = {"serves", "serves_service", "serves_at_once", "calls", "holds", "pass_on", "pass_to"}
DRAWN = random.Random(14).sample(sorted(TABLE), 6)


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def named_by(tree: ast.AST, functions: set[str]) -> Iterator[str]:
    """The texts that calls of these functions have as arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in functions:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                texts = argument.elts if isinstance(argument, ast.Tuple) else [argument]
                yield from (one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str))


@cache
def mentions() -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How often each id stands in the source: at all, in a declaration, at an end."""
    all_of_them, declared, ends = Counter[str](), Counter[str](), Counter[str]()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text()
        if "WL-" in text or "X-B" in text:
            tree = ast.parse(text)
            all_of_them.update(re.findall(r"(?:WL|X)-B\d+-\d+", text))
            declared.update(named_by(tree, DECLARES))
            ends.update(named_by(tree, ENDS))
    return all_of_them, declared, ends


@pytest.mark.parametrize("row_id", TABLE)
def test_id_stands_at_its_declaration_and_its_ends_and_nowhere_else(row_id: str) -> None:
    all_of_them, declared, ends = mentions()
    assert declared[row_id] == 1
    assert ends[row_id] == all_of_them[row_id] - 1


@pytest.mark.skipif(shutil.which("grep") is None, reason="there is no grep")
@pytest.mark.parametrize("row_id", DRAWN)
def test_grep_lists_declaration_handler_and_caller(row_id: str) -> None:
    listed = subprocess.check_output(["grep", "-rnw", "--include=*.py", row_id, "src"], cwd=ROOT, text=True)
    files = {line.partition(":")[0] for line in listed.splitlines()}
    ends = find_ends().get(row_id, Ends())
    boundary = f"src/sota/boundaries/{TABLE[row_id].boundary.lower()}_"
    assert any(file.startswith(boundary) and file.endswith("rows.py") for file in files)
    assert {place.file for place in (*ends.handlers, *ends.callers)} <= files
