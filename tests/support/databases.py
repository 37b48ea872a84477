"""Databases for tests: a private MariaDB server as a child process, with a user for each schema.

The server starts when the first test asks for it, listens on loopback only, writes nothing twice and syncs nothing, and
ends with the tests, also when these are killed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.support.processes import free_ports

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
PASSWORD = "a password of tests"
# Ends the server when the tests' process is gone, even by SIGKILL. setpriv is part of every Debian.
END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")


class MariaDbServer:
    """A server on a folder of its own; :meth:`restart` keeps what is in it."""

    def __init__(self, folder: Path, port: int, options: Sequence[str] = ()) -> None:
        self.port = port
        self._folder, self._options = folder, options
        self._socket = folder / "s.sock"
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL of a user who may make schemas, with a new schema name each time."""
        return f"mysql://keeper:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/test{next(self._numbers)}"

    @property
    def socket(self) -> Path:
        """The socket on which the server's own administrator is let in."""
        return self._socket

    def keeper_url(self, schema: str) -> str:
        """Return the URL of a schema for the user who may do everything."""
        return f"mysql://keeper:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{schema}"

    def new_schema(self, *, require: str = "") -> str:
        """Make a schema and a user who may do everything there and nothing elsewhere; return the URL.

        ``require`` is what is asked of the user's connections: ``REQUIRE SSL``.
        """
        name = f"test{next(self._numbers)}"
        self.execute(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
            f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' {require}",
            f"GRANT ALL PRIVILEGES ON {name}.* TO {name}@'127.0.0.1'",
        )
        return f"mysql://{name}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str) -> str:
        """Run statements as the server's own administrator; return what they print."""
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root", "--batch"]
        result = subprocess.run(
            [*command, "--execute", "; ".join(statements)], capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def dump(self, file: Path, *schemas: str) -> None:
        """Copy schemas, as they are at one moment, to a file."""
        options = ["--single-transaction", "--hex-blob", "--skip-add-locks", "--databases", *schemas]
        with file.open("wb") as output:
            subprocess.run(["mariadb-dump", *self._as_root, *options], stdout=output, check=True, timeout=60)

    def load(self, file: Path, *schemas: str) -> None:
        """Replace schemas by what a file holds of them."""
        self.execute(*(f"DROP DATABASE {schema}" for schema in schemas))
        with file.open("rb") as content:
            subprocess.run(["mariadb", *self._as_root], stdin=content, check=True, timeout=60)

    @property
    def _as_root(self) -> list[str]:
        return ["--no-defaults", f"--socket={self._socket}", "--user=root"]

    def answers(self) -> bool:
        """Report whether the server accepts statements."""
        try:
            self.execute("SELECT 1")
        except AssertionError:
            return False
        return True

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log_file = self._folder / "log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *END_WITH_PARENT,
                    "mariadbd",
                    "--no-defaults",
                    f"--datadir={self._folder / 'data'}",
                    f"--socket={self._socket}",
                    f"--pid-file={self._folder / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-log-bin",
                    "--skip-name-resolve",
                    "--innodb-doublewrite=0",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-flush-method=nosync",
                    "--innodb-buffer-pool-size=64M",
                    "--innodb-log-file-size=32M",
                    "--max-connections=300",
                    *self._options,
                    *_user(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(self._folder),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"mariadbd did not start: {log_file.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server; open connections break."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once, as a loss of power does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal: SIGSTOP freezes it, SIGCONT continues it."""
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_mariadb(*options: str, parent: Path | None = None) -> Iterator[MariaDbServer]:
    """Run a private server as long as the block, with further options of ``mariadbd``, in a folder in ``parent``."""
    missing = [
        name for name in ("mariadbd", "mariadb-install-db", "mariadb") if shutil.which(name, path=_path()) is None
    ]
    assert not missing, f"{', '.join(missing)} not found: make test installs mariadb-server, or apt-get install it"
    # A socket's path may have 107 characters: no long folder of the test run.
    folder = Path(mkdtemp(prefix="sota-mariadb-", dir=parent))
    server = MariaDbServer(folder, free_ports(1)[0], options)
    try:
        _install(folder)
        server.start()
        server.execute(
            f"CREATE USER keeper@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT ALL PRIVILEGES ON *.* TO keeper@'127.0.0.1' WITH GRANT OPTION",
        )
        yield server
    finally:
        server.kill()  # nothing is kept: an orderly end takes up to twenty seconds on a busy disk
        shutil.rmtree(folder, ignore_errors=True)


def _install(folder: Path) -> None:
    installed = subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *_user(),
        ],
        capture_output=True,
        text=True,
        env=_environment(folder),
        timeout=120,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr


def _user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _environment(folder: Path) -> dict[str, str]:
    # A server deletes what others left in the folder for temporary tables, and what they still use: one for each.
    (folder / "tmp").mkdir(exist_ok=True)
    return {**os.environ, "PATH": _path(), "TMPDIR": str(folder / "tmp")}


def _path() -> str:
    """Debian keeps servers in /usr/sbin, which is not on every user's path."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
