"""The demo, as a user runs it, on both engines: it ends without help, and its table is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.databases import MariaDbServer
from tests.support.processes import left_over
from tests.support.thorough import thorough

TIME_LIMIT_S = 90


def demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sota.cli", "demo", "--once", *arguments],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        cwd=folder,
        check=False,
    )


def hold(table_file: Path) -> None:
    """Hold the demo's table against its story: three of five vehicles are updated, one of them with what it lacked."""
    rows = {row["vin"]: row for row in json.loads(table_file.read_text())["vehicles"]}
    assert len(rows) == 5
    updated = {vin for vin, row in rows.items() if row["status"] == "installed"}
    assert len(updated) == 3
    for vin, row in rows.items():
        assert row["agrees"], row
        assert row["core"] == row["after"]
        assert row["after"]["navigation"] == ("2.0.0" if vin in updated else "1.0.0")
        if vin not in updated:
            assert row["after"] == row["before"]
    (lacked,) = [row for row in rows.values() if "libroute" not in row["before"]]
    assert lacked["order"].index("libroute") < lacked["order"].index("navigation")


@pytest.mark.slow
def test_the_demo_updates_the_right_three_vehicles_and_ends(tmp_path: Path) -> None:
    table_file = tmp_path / "table.json"

    result = demo(tmp_path, "--json", str(table_file))

    assert result.returncode == 0, result.stdout + result.stderr
    hold(table_file)
    assert left_over(tmp_path) == []


@thorough
@pytest.mark.slow
def test_the_demo_does_the_same_on_mariadb_and_touches_nothing_else_there(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    address = mariadb_server.url.rpartition("/")[0]
    mariadb_server.execute("CREATE DATABASE IF NOT EXISTS sota_core")  # of another owner: the demo must leave it alone
    before = mariadb_server.execute("SHOW DATABASES")
    table_file = tmp_path / "table.json"

    result = demo(tmp_path, "--json", str(table_file), SOTA_DEMO_DATABASE=address)

    assert result.returncode == 0, result.stdout + result.stderr
    hold(table_file)
    assert "on MariaDB, in new schemas: sota_demo_" in result.stdout
    assert mariadb_server.execute("SHOW DATABASES") == before
    assert mariadb_server.execute("SHOW TABLES IN sota_core") == ""
    assert left_over(tmp_path) == []


def test_a_password_that_is_wrong_ends_the_demo_before_anything_is_made(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    result = demo(tmp_path, "--database", f"mysql://keeper:not-the-password@127.0.0.1:{mariadb_server.port}")

    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"sota: mysql://keeper:***@127.0.0.1:{mariadb_server.port}/ rejects the connection")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["postgresql://a:its-secret@127.0.0.1", "a:its-secret@127.0.0.1"])
def test_an_address_of_something_else_is_refused_without_its_password(tmp_path: Path, address: str) -> None:
    result = demo(tmp_path, "--database", address)

    assert result.returncode == 2
    assert "write mysql://user:password@host:3306" in result.stderr
    assert "its-secret" not in result.stderr
