"""Faults of stores: full and read-only disks, servers that take no writes, hang or stop, tables that are away.

Each :class:`Fault` says what must still be possible while it lasts. ``begin`` and ``end`` act on a :class:`Store`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from sota.kit.sql.database import Database, Tx
from tests.support.databases import PASSWORD, MariaDbServer
from tests.support.machine import LACKS, why_no_loop_device

USER, OTHER = "backend", "other"
SQL_MODES = (
    "",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES",
    "PIPES_AS_CONCAT",
    "TRADITIONAL",
    "ORACLE",
    "ANSI",
    "MAXDB",
    "PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE",
    "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,NO_UNSIGNED_SUBTRACTION",
)


@dataclass(slots=True)
class Store:
    """What a backend keeps its databases in: a folder, and a server of its own where it is MariaDB."""

    folder: Path
    server: MariaDbServer | None = None
    extra_port: int = 0
    held: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str | None:
        """The server's address for the backend's user, who may do everything with schemas that begin with ``sota``.

        It is not an administrator, who may write where ``read_only`` is on, and connect when others may not.
        """
        if self.server is None:
            return None
        return f"mysql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.server.port}/sota"

    def make_user(self) -> None:
        """Make the backend's user, and one that only holds connections."""
        self.execute(
            f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL PRIVILEGES ON `sota%`.* TO {USER}@'127.0.0.1'",
            f"CREATE USER {OTHER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        )

    def execute(self, *statements: str) -> str:
        """Run statements as the server's administrator, over a port of its own: others may hold all connections."""
        command = ["mariadb", "--no-defaults", "--host=127.0.0.1", f"--port={self.extra_port}", "--user=keeper"]
        done = subprocess.run(
            [*command, f"--password={PASSWORD}", "--batch", "--execute", "; ".join(statements)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill_connections(self) -> None:
        """Kill all connections of the backend's user."""
        self.execute(f"KILL CONNECTION USER {USER}")


Act = Callable[[Store], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of an engine's store. ``reads`` and ``writes``: whether these succeed while it lasts.

    Where ``writes`` is None some writes may succeed: a full disk still has room in files that are there.
    """

    name: str
    engine: str
    begin: Act
    end: Act
    reads: bool = True
    writes: bool | None = False

    def __str__(self) -> str:
        return f"{self.engine}: {self.name}"


def why_not(fault: Fault) -> str | None:
    """Return why a fault cannot be made on this machine, as a reason to skip; None where it can."""
    needs_disk = fault.name == "disk full" or fault.engine == "sqlite"
    if needs_disk and (why := why_no_loop_device()) is not None:
        return f"{LACKS}a small disk cannot be mounted, to be full or read-only ({why})"
    return None


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of its own as long as the block: it can be full, and its files can be made read-only for root."""
    folder.mkdir(parents=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    for command in (
        ["mkfs.ext4", "-q", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(folder)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60, env=_with_sbin())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, timeout=30)
        image.unlink()


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def fill(folder: Path) -> None:
    """Take what is left of a disk."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\1" * size)


def make_room(folder: Path) -> None:
    """Remove the file that filled the disk."""
    (folder / "ballast").unlink()


def _sqlite_files(folder: Path) -> list[str]:
    # Not the index of the log that is shared by mapping it: a process that writes to a mapped file which refuses that
    # is ended by SIGBUS. A file system that turned read-only still takes it.
    return [str(path) for path in folder.rglob("*.db*") if path.is_file() and not path.name.endswith("-shm")]


def _attribute(store: Store, change: str) -> None:
    subprocess.run(["chattr", change, *_sqlite_files(store.folder)], check=True, capture_output=True, timeout=30)


def _signal(number: signal.Signals) -> Act:
    def act(store: Store) -> None:
        assert store.server is not None
        store.server.signal(number)

    return act


def _stop(store: Store) -> None:
    assert store.server is not None
    store.server.stop()


def _start(store: Store) -> None:
    assert store.server is not None
    store.server.start()


def _take_all_connections(store: Store) -> None:
    """Let another user hold all connections that the server takes; one more is for its administrator."""
    assert store.server is not None
    store.execute("SET GLOBAL max_connections = 10")
    command = ["mariadb", "--no-defaults", f"--port={store.server.port}", "--host=127.0.0.1", f"--user={OTHER}"]
    holding = [*command, f"--password={PASSWORD}", "--execute=SELECT SLEEP(600)"]
    held = f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{OTHER}' AND command = 'Query'"
    deadline = time.monotonic() + 60
    while int(store.execute(held).split()[1]) < 10:
        assert time.monotonic() < deadline, "the connections are not held"
        store.held = [process for process in store.held if process.poll() is None]
        store.kill_connections()  # the backend asks again and again: the others must be quicker, each once
        while len(store.held) < 11:
            store.held.append(subprocess.Popen(holding, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _give_connections_back(store: Store) -> None:
    while store.held:
        process = store.held.pop()
        process.kill()
        process.wait(30)
    store.execute(f"KILL CONNECTION USER {OTHER}", "SET GLOBAL max_connections = 300")


def _change_password(store: Store) -> None:
    store.execute(f"ALTER USER {USER}@'127.0.0.1' IDENTIFIED BY 'another password'")
    store.kill_connections()


def _give_password_back(store: Store) -> None:
    store.execute(f"ALTER USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")


def _in_mode(mode: str) -> Act:
    def act(store: Store) -> None:
        store.execute(f"SET GLOBAL sql_mode = '{mode}'")
        store.kill_connections()

    return act


def _execute(*statements: str) -> Act:
    def act(store: Store) -> None:
        store.execute(*statements)

    return act


def _nothing(_store: Store) -> None:
    pass


SQLITE = (
    Fault("disk full", "sqlite", lambda store: fill(store.folder), lambda store: make_room(store.folder)),
    Fault("files read-only", "sqlite", lambda store: _attribute(store, "+i"), lambda store: _attribute(store, "-i")),
)
MARIADB = (
    Fault("read_only", "mariadb", _execute("SET GLOBAL read_only = 1"), _execute("SET GLOBAL read_only = 0")),
    Fault("connections killed", "mariadb", Store.kill_connections, _nothing, writes=True),
    Fault("password changed", "mariadb", _change_password, _give_password_back, reads=False),
    Fault("connections exhausted", "mariadb", _take_all_connections, _give_connections_back, reads=False),
    Fault("server frozen", "mariadb", _signal(signal.SIGSTOP), _signal(signal.SIGCONT), reads=False),
    Fault("server stopped", "mariadb", _stop, _start, reads=False),
    *(
        Fault(f"sql_mode '{mode}'", "mariadb", _in_mode(mode), _in_mode("STRICT_TRANS_TABLES"), writes=True)
        for mode in SQL_MODES
    ),
)
MARIADB_FULL = Fault(
    "disk full", "mariadb", lambda store: fill(store.folder), lambda store: make_room(store.folder), writes=None
)


@contextlib.asynccontextmanager
async def table_away(database: Database, table: str) -> AsyncIterator[None]:
    """Let a table be away, as after a restore that failed."""

    async def rename(tx: Tx, before: str, after: str) -> None:
        await tx.execute(sa.text(f"ALTER TABLE `{before}` RENAME TO `{after}`"))

    await database.transact(lambda tx: rename(tx, table, f"{table}_away"))
    try:
        yield
    finally:
        await database.transact(lambda tx: rename(tx, f"{table}_away", table))
