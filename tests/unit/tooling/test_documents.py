"""What the documents point to is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError

from bench.__main__ import BENCHMARKS
from sota.boundaries.table import TABLE
from sota.cli.main import make
from tests.support.document_commands import block_commands, inline_commands, section, without_redirections

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
PLACE = re.compile(r"`((?:src|tests|docs|scripts|requirements|bench|deploy|console)/[\w./-]+)`")


def documents() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        if (ROOT / name).is_file():
            yield ROOT / name, (ROOT / name).read_text()


def test_links_lead_somewhere() -> None:
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in documents()
        for target in LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    assert dead == []


def test_named_files_and_folders_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {place}"
        for path, text in documents()
        for place in PLACE.findall(text)
        if not (ROOT / place).exists()
    ]
    assert missing == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    assert [path.name for path in sorted(folder.glob("0*.md")) if f"({path.name})" not in index] == []


def read_as_command(arguments: list[str]) -> None:
    make(*arguments[:1]).parse_args(
        without_redirections(arguments), print_error=False, exit_on_error=False, verbose=False
    )


def test_commands_in_code_blocks_are_ones_that_sota_takes() -> None:
    refused = []
    for path, text in documents():
        for arguments in block_commands(text, "sota"):
            try:
                read_as_command(arguments)
            except CycloptsError as error:
                refused.append(f"{path.relative_to(ROOT)}: sota {' '.join(arguments)}: {error}")
    assert refused == []


def test_commands_named_in_sentences_exist() -> None:
    """Such a one may lack its arguments (`sota vehicle`); command and options must exist."""
    refused = []
    for path, text in documents():
        for arguments in inline_commands(text, "sota"):
            try:
                read_as_command(arguments)
            except MissingArgumentError:
                continue
            except CycloptsError as error:
                refused.append(f"{path.relative_to(ROOT)}: sota {' '.join(arguments)}: {error}")
    assert refused == []


def test_reader_finds_commands_wherever_they_stand() -> None:
    text = (
        "Say `sota up`.\n```sh\nsota up --data x > y &\nuntil z; do sota db upgrade core; done\n"
        'key="$(sota keys new k)" && \\\n  .venv/bin/sota slm | cat\ncp a /etc/sota b\n```\n'
    )
    found = [without_redirections(arguments) for arguments in block_commands(text, "sota")]
    assert found == [["up", "--data", "x"], ["db", "upgrade", "core"], ["keys", "new", "k"], ["slm"]]
    assert list(inline_commands(text, "sota")) == [["up"]]


@pytest.mark.parametrize("wrong", ["up --bogus 1", "fly", "credentials issue --file f --caller nobody"])
def test_reader_would_notice_a_wrong_command(wrong: str) -> None:
    with pytest.raises(CycloptsError):
        read_as_command(wrong.split())


def test_targets_of_make_and_benchmarks_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    missing = []
    for path, text in documents():
        for arguments in (*block_commands(text, "make"), *inline_commands(text, "make")):
            words = arguments[: arguments.index("#")] if "#" in arguments else arguments
            missing += [f"{path.name}: make {word}" for word in words if "=" not in word and word not in targets]
            names = [word.removeprefix("ONLY=") for word in words if word.startswith("ONLY=")]
            missing += [f"{path.name}: bench {name}" for name in names if name not in {*BENCHMARKS, "name"}]
    assert missing == []


def test_rows_that_documents_name_exist() -> None:
    named = {
        (path.relative_to(ROOT).as_posix(), row_id)
        for path, text in documents()
        for row_id in re.findall(r"\b(?:WL|X)-B\d+-\d+\b", text)
    }
    assert sorted(pair for pair in named if pair[1] not in TABLE) == []


def test_specification_has_every_ruling_that_code_cites() -> None:
    text = section((ROOT / "docs" / "specification.md").read_text(), "The rulings")
    rulings = {int(number) for number in re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE)}
    assert rulings == set(range(1, 21))
    cited = {
        int(number) for path in (ROOT / "src").rglob("*.py") for number in re.findall(r"ruling (\d+)", path.read_text())
    }
    assert cited <= rulings
