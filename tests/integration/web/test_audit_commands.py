"""``sota audit`` as an operator uses it: on the Web Server's database, on both engines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sota.kit.audit.model import AuditedAction
from sota.kit.audit.tables import RECORD
from sota.kit.audit.trail import AuditTrail
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.migrations import upgrade

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def sota(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sota.cli", "audit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
async def url(fresh_database_url: str) -> str:
    database = Database(fresh_database_url)
    await upgrade(database, "sota.web.migrations")
    audit = AuditTrail(database)
    for number in range(5):
        at = NOW + timedelta(hours=number)
        await audit.record(
            AuditedAction(at, f"user{number}", "192.0.2.1", "WL-B1-4", f"vehicle {number}", "inserted", 200)
        )
    await database.close()
    return fresh_database_url


async def harm(url: str, do: Callable[[Tx], Awaitable[object]]) -> None:
    database = Database(url)
    await database.transact(do)
    await database.close()


async def swap(tx: Tx) -> None:
    for before, after in ((2, 100), (3, 2), (100, 3)):
        await tx.execute(RECORD.update().where(RECORD.c.number == before).values(number=after))


HARM: dict[str, tuple[Callable[[Tx], Awaitable[object]], str]] = {
    "changed": (
        lambda tx: tx.execute(RECORD.update().where(RECORD.c.number == 3).values(outcome="refused")),
        "record 3 was changed",
    ),
    "removed": (
        lambda tx: tx.execute(RECORD.delete().where(RECORD.c.number == 4)),
        "record 4 is missing: 5 follows 3",
    ),
    "last removed": (
        lambda tx: tx.execute(RECORD.delete().where(RECORD.c.number == 5)),
        "record 5 is missing: the chain ends at 4, its head says 5",
    ),
    "reordered": (swap, "record 2 does not follow the one before it"),
}


async def test_whole_trail_holds(url: str) -> None:
    done = sota("verify", "--database", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The audit trail holds: 5 records. Anchor: 5:")
    anchor = done.stdout.split()[-1]
    assert sota("verify", "--database", url, "--anchor", anchor).returncode == 0


@pytest.mark.parametrize("kind", HARM)
async def test_harm_is_told_with_its_place(url: str, kind: str) -> None:
    do, said = HARM[kind]
    await harm(url, do)
    done = sota("verify", "--database", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sota: the audit trail is broken: {said}\n"


async def test_database_is_named_by_the_settings_file(url: str, tmp_path: Path) -> None:
    config = tmp_path / "sota.toml"
    config.write_text(f'[web]\ndatabase = "{url}"\n')
    assert sota("verify", "--config", str(config)).returncode == 0


async def test_anchor_that_is_none_is_refused(url: str) -> None:
    done = sota("verify", "--database", url, "--anchor", "five")
    assert done.returncode == 1
    assert "--anchor is NUMBER:HASH" in done.stderr


async def test_export_is_a_record_a_line_oldest_first(url: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    assert sota("export", "--database", url, "--file", str(file)).returncode == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0]["actor"] == "user0"
    assert lines[1]["previous_hash"] == lines[0]["hash"]


async def test_export_can_be_narrowed(url: str) -> None:
    done = sota("export", "--database", url, "--since", "2026-03-01T01:00:00", "--until", "2026-03-01T03:00:00")
    assert [json.loads(line)["actor"] for line in done.stdout.splitlines()] == ["user1", "user2"], done.stderr
    done = sota("export", "--database", url, "--actor", "user4")
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [5]
