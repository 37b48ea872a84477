"""The lock files hold what pyproject.toml asks for, with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE: list[str] = PYPROJECT["project"]["dependencies"]
SERVER: list[str] = BASE + PYPROJECT["project"]["optional-dependencies"]["server"]
GROUPS: dict[str, list[str]] = PYPROJECT["dependency-groups"]
WANTED = {"vehicle": BASE, "server": SERVER, "dev": SERVER + GROUPS["dev"], "bootstrap": GROUPS["bootstrap"]}


def entries(lock: str) -> list[str]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return re.split(r"\n(?=\S)", text.strip())


def versions(lock: str) -> dict[str, str]:
    found = (re.match(r"([\w.-]+)==([^\s;]+)", entry) for entry in entries(lock))
    return {canonicalize_name(match[1]): match[2] for match in found if match}


@pytest.mark.parametrize("lock", WANTED)
def test_lock_satisfies_what_is_asked_for(lock: str) -> None:
    locked = versions(lock)
    asked = [Requirement(line) for line in WANTED[lock]]
    assert [str(need) for need in asked if locked.get(canonicalize_name(need.name), "none") not in need.specifier] == []


@pytest.mark.parametrize("lock", WANTED)
def test_every_entry_has_a_hash(lock: str) -> None:
    assert [entry for entry in entries(lock) if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("smaller", ["vehicle", "server"])
def test_locks_agree_on_versions(smaller: str) -> None:
    assert versions(smaller).items() <= versions("dev").items()


def test_vehicle_lock_has_nothing_of_the_server() -> None:
    assert (
        versions("vehicle").keys() & {"sqlalchemy", "alembic", "jinja2", "asyncmy", "aiosqlite", "lark", "obstore"}
        == set()
    )
