"""The documents: what they name exists, and what is made from code is up to date."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError

from bench.__main__ import BENCHMARKS
from scripts.docs.reference import PAGES
from scripts.docs.site import headings_of, navigation
from sota.boundaries.table import TABLE
from sota.cli.main import make
from tests.support.document_commands import (
    RUN_BY,
    block_commands,
    inline_commands,
    runnable_blocks,
    section,
    without_redirections,
)

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
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
    texts = dict(documents())
    anchors = {path: {heading.anchor for heading in headings_of(text)} for path, text in texts.items()}
    dead = []
    for path, text in texts.items():
        for target, anchor in LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
            place = (path.parent / target).resolve() if target else path
            if not place.exists() or (anchor and anchor not in anchors.get(place, set())):
                dead.append(f"{path.relative_to(ROOT)}: {target}#{anchor}")
    assert dead == []


def test_every_document_is_in_the_index() -> None:
    listed = {source for group in navigation((ROOT / "docs/README.md").read_text()) for source in group.sources}
    records = {f"docs/decisions/{path.name}" for path in (ROOT / "docs/decisions").glob("0*.md")}
    found = {path.relative_to(ROOT).as_posix() for path, _ in documents()}
    assert found - records - {"docs/README.md"} == listed


@pytest.mark.parametrize("name", PAGES)
def test_page_that_is_made_from_code_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == PAGES[name](), "run `make reference`"


def test_every_runnable_block_has_a_test_that_runs_it() -> None:
    runnable = {path.relative_to(ROOT).as_posix() for path, text in documents() if runnable_blocks(text)}
    assert runnable == set(RUN_BY)
    unnamed = [
        page
        for page, test in RUN_BY.items()
        if "RUN_BY" not in (code := (ROOT / test).read_text()) and Path(page).name not in code
    ]
    assert unnamed == []


@functools.cache
def names_of_code() -> frozenset[str]:
    """Return the classes, functions and constants of the code, alone and behind their class or module."""
    names: set[str] = set()
    for folder in ("src", "tests", "bench"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    names |= {node.name, *(f"{node.name}.{member}" for member in _defined(node.body))}
                elif isinstance(node, ast.Module):
                    names |= {*(own := _defined(node.body)), *(f"{path.stem}.{member}" for member in own)}
    return frozenset(names)


def _defined(body: list[ast.stmt]) -> set[str]:
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def test_names_of_code_in_the_developers_pages_exist() -> None:
    known = names_of_code()
    named = set()
    for page in ("docs/developers.md", "ARCHITECTURE.md"):
        text = re.sub(r"^ *```.*?^ *```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
        for shown in re.findall(r"`@?([^`]+)`", text):
            # A capital, a call, or a dot makes a name of code; files, commands, settings and rows have none.
            if match := re.fullmatch(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)(?:\(.*\))?", shown):
                name = match[1]
                is_file = name.endswith((".py", ".md", ".toml"))
                if not is_file and ("." in name or "(" in shown or re.match(r"[A-Z]\w*[a-z_]", name)):
                    named.add(name)
    assert len(named) > 8
    assert sorted(name for name in named - known if not name.startswith("SOTA_")) == []


def test_new_names_of_the_glossary_exist() -> None:
    known = names_of_code()
    table = section((ROOT / "docs/glossary.md").read_text(), "Old and new names")
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w*[a-z]\w*(?:\.\w+)?)`", cell)}
    assert len(named) > 50
    assert sorted(name for name in named if name.partition(".")[0] not in known) == []


def test_test_that_the_developers_page_shows_exists() -> None:
    (shown,) = re.findall(
        r"^ *```python\n(.*?)^ *```", (ROOT / "docs/developers.md").read_text(), re.MULTILINE | re.DOTALL
    )
    code = "\n".join(line.removeprefix("   ") for line in shown.splitlines())
    assert code in (ROOT / "tests/whitelist/test_b2_requests.py").read_text()


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


@pytest.mark.parametrize("wrong", ["up --bogus 1", "fly", "credentials issue --file f --caller stranger"])
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
