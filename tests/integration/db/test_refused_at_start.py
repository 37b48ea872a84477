"""A database that will not have a program stops it: one line on standard error, exit code 2, and nothing instead.

The programs are the commands that a user types, on a real MariaDB server.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.boundaries.binding.service_credentials import issue
from tests.support.databases import PASSWORD, MariaDbServer
from tests.support.processes import free_ports
from tests.support.system_settings import to_toml

PROGRAMS = ("web", "core", "resolver")
# A start is refused at once; the limit is for a machine that is busy with other tests.
TIMEOUT_S = 30


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings in which everything but the database is right."""
    token = tmp_path / "token"
    token.write_text(issue(tmp_path / "callers.toml", "Web Server"))
    callers, repository = tmp_path / "callers.toml", tmp_path / "packages"
    common = {"port": 0, "data": tmp_path / "data", "database_wait_s": 1}
    file = tmp_path / "sota.toml"
    file.write_text(
        to_toml(
            {
                "web": {
                    **common,
                    "https_port": 0,
                    "core_token_file": token,
                    "resolver_token_file": token,
                    "repository": repository,
                },
                "core": {
                    **common,
                    "credentials_file": callers,
                    "resolver_token_file": token,
                    "repository": repository,
                },
                "resolver": {**common, "credentials_file": callers},
            }
        )
    )
    return file


def files_in(folder: Path) -> list[Path]:
    """List the files, but for the lock of a data folder, which stays."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def refused(program: str, config: Path, database: str, *settings: str, code: int = 2) -> str:
    """Start the program; return the one line with which it ended, with this exit code."""
    before = files_in(config.parent)
    given = [part for setting in (f"database={database}", *settings) for part in ("--set", setting)]
    ended = subprocess.run(
        [sys.executable, "-m", "sota.cli", program, "--config", str(config), *given],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, ""), ended
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("sota: ")
    assert files_in(config.parent) == before, "something was made instead"
    return lines[0]


def url(server: MariaDbServer, **changes: object) -> str:
    return sa.make_url(server.url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_password(mariadb_server: MariaDbServer, config: Path, program: str) -> None:
    line = refused(program, config, url(mariadb_server, password="not the password", database="sota"))
    where = f"mysql://keeper:***@127.0.0.1:{mariadb_server.port}/sota"
    assert f"{where} rejects the connection: wrong user, password or schema (1045)" in line
    assert "not the password" not in line
    assert "not%20the%20password" not in line


@pytest.mark.parametrize("program", PROGRAMS)
def test_unknown_schema(mariadb_server: MariaDbServer, config: Path, program: str) -> None:
    line = refused(program, config, url(mariadb_server, database="not_there"))
    assert f"@127.0.0.1:{mariadb_server.port}/not_there rejects the connection" in line
    assert "(1049): Unknown database 'not_there'" in line
    assert PASSWORD not in line


@pytest.mark.parametrize("program", PROGRAMS)
def test_schema_of_another_program(mariadb_server: MariaDbServer, config: Path, program: str) -> None:
    own, other = sa.make_url(mariadb_server.new_schema()), sa.make_url(mariadb_server.new_schema())
    line = refused(program, config, own.set(database=other.database).render_as_string(hide_password=False))
    assert "rejects the connection: wrong user, password or schema (1044)" in line


@pytest.mark.parametrize("program", PROGRAMS)
def test_server_that_is_not_there_is_waited_for(config: Path, program: str) -> None:
    port = free_ports(1)[0]
    began = time.monotonic()
    # 1, so that a supervisor tries again: 2 would leave a machine down whose database came up later than it.
    line = refused(program, config, f"mysql://sota:a-secret@127.0.0.1:{port}/sota", "database_wait_s=2", code=1)
    assert time.monotonic() - began >= 2
    assert f"mysql://sota:***@127.0.0.1:{port}/sota does not answer: Can't connect" in line
    assert "a-secret" not in line
