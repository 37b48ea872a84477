"""``make lint`` refuses listed words, and docstrings that begin with a listed verb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check-words"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty checkout with a folder for documents and one for source."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=60)
    for folder in ("docs", "scripts", "src"):
        (tmp_path / folder).mkdir()
    return tmp_path


def check(tree: Path, *arguments: str) -> tuple[int, list[str]]:
    """Check a checkout; return the exit status and the lines without their advice."""
    command = [sys.executable, str(SCRIPT), *arguments, str(tree)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.returncode, [line.partition(": write")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("word", ["nobody", "Nobody", "whoever", "somebody", "everybody", "anew", "what is none"])
def test_listed_word_is_refused(word: str, tree: Path) -> None:
    (tree / "docs" / "page.md").write_text(f"# Page\n\nHere {word} waits.\n")
    assert check(tree) == (
        1,
        [f"docs/page.md:3: {word!r}", "check-words: 1 places in docs, of which it may have 0"],
    )


def test_listed_word_is_found_in_a_name(tree: Path) -> None:
    (tree / "src" / "a.py").write_text("def wait_for_nobody() -> None: ...\n")
    assert check(tree)[1][0] == "src/a.py:1: 'nobody'"


@pytest.mark.parametrize("verb", ["Give", "Say", "Tell"])
def test_docstring_that_begins_with_a_listed_verb_is_refused(verb: str, tree: Path) -> None:
    (tree / "src" / "a.py").write_text(f'"""A module."""\n\n\nasync def run() -> None:\n    """{verb} the keys."""\n')
    assert check(tree)[1][0] == f"src/a.py:5: a docstring begins {verb!r}"


def test_quoted_value_and_longer_word_pass(tree: Path) -> None:
    (tree / "src" / "a.py").write_text('"""Given a sinew, return it."""\n\nACTOR = "nobody"\n')
    assert check(tree) == (0, ["check-words: 0 places left, none over the budget"])


def test_budget_of_a_folder_can_only_be_lowered(tree: Path) -> None:
    page = tree / "docs" / "page.md"
    (tree / "scripts" / "words-left").write_text("docs 2\n")
    page.write_text("anew\n" * 2)
    assert check(tree)[0] == 0
    page.write_text("anew\n" * 3)
    assert check(tree, "--lower")[0] == 1
    page.write_text("anew\n")
    assert check(tree, "--lower")[0] == 0
    page.write_text("anew\n" * 2)
    assert check(tree)[0] == 1
