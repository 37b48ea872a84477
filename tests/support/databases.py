"""Databases for tests: a private MariaDB server as a child process, and schemas with users of their own on it.

The server starts when the first test asks for it, listens on loopback only, writes nothing twice and syncs nothing, and
ends with the tests, also when these are killed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.support.processes import free_ports

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PASSWORD = "a password of tests"
# Ends the server when the tests' process is gone, even by SIGKILL. setpriv is part of every Debian.
END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")


class MariaDbServer:
    """A running server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._socket = folder / "s.sock"
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """URL of somebody who may make schemas, with the name of one that is not there yet: another one each time."""
        return f"mysql://keeper:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/test{next(self._numbers)}"

    def new_schema(self) -> str:
        """Make a schema and a user who may do everything there and nothing elsewhere; gives the URL."""
        name = f"test{next(self._numbers)}"
        self.execute(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
            f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL PRIVILEGES ON {name}.* TO {name}@'127.0.0.1'",
        )
        return f"mysql://{name}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str) -> str:
        """Run statements as the server's own administrator; gives what they print."""
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root", "--batch"]
        result = subprocess.run(
            [*command, "--execute", "; ".join(statements)], capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def answers(self) -> bool:
        """Say whether the server takes statements."""
        try:
            self.execute("SELECT 1")
        except AssertionError:
            return False
        return True


@contextmanager
def running_mariadb() -> Iterator[MariaDbServer]:
    """Run a private server as long as the block."""
    missing = [
        name for name in ("mariadbd", "mariadb-install-db", "mariadb") if shutil.which(name, path=_path()) is None
    ]
    assert not missing, f"{', '.join(missing)} not found: make test installs mariadb-server, or apt-get install it"
    # A socket's path may have 107 characters: no long folder of the test run.
    folder = Path(mkdtemp(prefix="sota-mariadb-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        process, server = _start(folder)
        yield server
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], MariaDbServer]:
    user = ["--user=root"] if os.geteuid() == 0 else []
    # A server deletes what other servers left in the folder for temporary tables, and what they still use: one for each.
    (folder / "tmp").mkdir()
    environment = {**os.environ, "PATH": _path(), "TMPDIR": str(folder / "tmp")}
    installed = subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *user,
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    server = MariaDbServer(folder, free_ports(1)[0])
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            *END_WITH_PARENT,
            "mariadbd",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 's.sock'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={server.port}",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--innodb-doublewrite=0",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--max-connections=300",
            *user,
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
    )
    log.close()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process)
            raise AssertionError(f"mariadbd did not start: {(folder / 'log').read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    server.execute(
        f"CREATE USER keeper@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        "GRANT ALL PRIVILEGES ON *.* TO keeper@'127.0.0.1' WITH GRANT OPTION",
    )
    return process, server


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def _path() -> str:
    """Debian keeps servers in /usr/sbin, which is not on everybody's path."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
