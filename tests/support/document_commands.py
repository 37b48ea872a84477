"""Reads commands out of the documents: code blocks marked ``sh``, and commands that stand in a sentence.

A test runs the blocks of each page (``RUN_BY``). A block that no test can run has ``not-run: REASON`` behind ``sh``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

BLOCK = re.compile(r"^ *```sh(?: not-run: \S[^\n]*)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
RUNNABLE = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(sota [^`\n]*|make [^`\n]*)`")
# What ends a command in a line of a shell; what follows it is another command.
SEPARATORS = frozenset({"|", "||", "&&", ";", "&", "do", "then", "{", "}", "(", ")"})


RUN_BY: Mapping[str, str] = {
    "README.md": "tests/e2e/test_tour.py",
    "docs/tutorial/first-update.md": "tests/e2e/test_tutorials.py",
    "docs/tutorial/real-folder-and-fleet.md": "tests/e2e/test_tutorials.py",
    "docs/how-to/roll-out-an-update.md": "tests/e2e/test_operating_pages.py",
    "docs/how-to/manage-identities.md": "tests/e2e/test_operating_pages.py",
    "docs/how-to/back-up-and-restore.md": "tests/integration/folders/test_backup_page.py",
    "docs/how-to/connect-mariadb.md": "tests/integration/folders/test_backup_page.py",
    "docs/how-to/move-to-another-machine.md": "tests/integration/folders/test_backup_page.py",
    "docs/how-to/build-packages.md": "tests/integration/slm/test_builder.py",
    "docs/how-to/install-services.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/secure-connections.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/manage-accounts.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/read-the-audit-trail.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/set-up-a-vehicle.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/rotate-the-authority.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/sign-packages.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/how-to/upgrade.md": "tests/integration/folders/test_how_to_pages.py",
    "docs/developers.md": "tests/integration/folders/test_how_to_pages.py",
}
"""The test that runs the blocks of a page."""


def blocks(text: str) -> list[str]:
    """Return the ``sh`` code blocks."""
    return BLOCK.findall(text)


def runnable_blocks(text: str) -> list[str]:
    """Return the ``sh`` code blocks that a test must run."""
    return RUNNABLE.findall(text)


def section(text: str, heading: str) -> str:
    """Return the part of a document below a heading of the second level."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def block_commands(text: str, program: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of ``program`` in the code blocks."""
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            if re.search(rf"\b{program} ", line):
                yield from _calls(_words(line), program)


def inline_commands(text: str, program: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of ``program`` in a sentence."""
    without_blocks = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for command in INLINE.findall(without_blocks):
        if "…" not in command:
            yield from _calls(_words(command), program)


def _words(line: str) -> list[str]:
    # A command in $(…) is a command like others; quotes around it would hide it.
    opened = re.sub(r"\"?\$\(([^()]*)\)\"?", r" ; \1 ; ", line)
    reader = shlex.shlex(opened, posix=True, punctuation_chars="();<>|&")
    reader.whitespace_split = True
    try:
        return list(reader)
    except ValueError:  # a quotation that goes on in the next line: no command of ours does
        return []


def _calls(words: list[str], program: str) -> Iterator[list[str]]:
    call: list[str] | None = None
    for word in [*words, ";"]:
        if word in SEPARATORS or set(word) <= set("();|&"):
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == program or word.endswith(f".venv/bin/{program}"):
            call = []


def without_redirections(arguments: list[str]) -> list[str]:
    """Return the arguments without ``> file``."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip or set(argument) <= set("<>"):
            skip = not skip
            continue
        kept.append(argument)
    return kept
