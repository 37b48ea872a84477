"""Data folders of all programs: one process at a time, closed to other users, one clear line where it is unusable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority
from sota.cli.ending import ending
from sota.cli.main import make
from tests.support.processes import END_WITH_PARENT, free_ports

VIN = "WVWZZZ1KZ7T000001"
PORTS = ("http", "https", "core", "resolver", "edge", "link", "operation")
# With no bit masked, what a program does not close itself stays open.
UMASK = ("sh", "-c", 'umask 0 && exec "$@"', "sh")


def sota(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sota.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@contextmanager
def running(*arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command with an open umask until the block ends; it must end in order."""
    command = [*END_WITH_PARENT, *UMASK, sys.executable, "-m", "sota.cli", *arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def typed(*arguments: str) -> int:
    """Type a command in this process; return the code with which it ends."""
    with pytest.raises(SystemExit) as ended:
        ending(lambda: make(arguments[0])(list(arguments)))
    return int(str(ended.value.code))


def up_options(data: Path) -> list[str]:
    ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
    return ["--data", str(data), *(part for name, port in ports for part in (f"--{name}-port", str(port)))]


def open_files(folder: Path, *, below: str = "") -> list[str]:
    """List what other users could use, were the folders above it open to them."""
    return [
        f"{path.relative_to(folder)} {path.lstat().st_mode & 0o777:o}"
        for path in [folder, *sorted(folder.rglob("*"))]
        if not path.is_symlink() and path.lstat().st_mode & 0o077 and not (below and below in path.parts)
    ]


def test_folder_is_one_backends_until_it_ends_or_is_killed_and_is_closed_to_others(tmp_path: Path) -> None:
    data, ready = tmp_path / "a?b %20#", tmp_path / "ready.json"
    log = tmp_path / "log"
    with running("up", "--json-ready", "--ready-file", str(ready), *up_options(data), log=log) as first:
        assert first.stdout is not None
        line = first.stdout.readline()
        assert line, log.read_text()
        assert (ready.read_text(), ready.stat().st_mode & 0o777) == (line, 0o600)
        kept = {path: path.stat().st_ino for path in data.iterdir()}
        second = sota("up", *up_options(data), "--ready-file", str(ready))
        assert second.returncode == 2
        assert second.stderr.startswith(f"sota: {data} is in use by sota up, process {first.pid}, since 20")
        assert second.stderr.count("\n") == 1
        assert ready.read_text() == line
        apart = sota("core", "--set", f"data={data / 'core'}", "--set", f"port={free_ports(1)[0]}")
        assert (apart.returncode, "is in use by sota core, process" in apart.stderr) == (2, True)
        assert {path: path.stat().st_ino for path in data.iterdir()} == kept
        assert {"web.db", "core.db", "resolver.db"} <= {path.name for path in data.iterdir()}
        assert open_files(data) == []
        first.kill()
        first.wait(30)

    outside = tmp_path / "outside"
    outside.mkdir()
    (data / "packages" / "key").touch()
    (data / "packages" / "link").symlink_to(outside)
    for path in (outside, data, data / "core.db", data / "secrets", data / "packages", data / "packages" / "key"):
        path.chmod(0o777)  # as an earlier version left it, or a restored copy
    with running("up", "--ready-file", str(ready), "--json-ready", *up_options(data), log=log) as again:
        assert again.stdout is not None
        told = again.stdout.readline()
        assert told, log.read_text()
        assert open_files(data) == []
        assert (json.loads(told)["user"], json.loads(told)["password"]) == ("admin", json.loads(line)["password"])
        assert json.loads(told)["token"] != json.loads(line)["token"]
        tokens = sota("tokens", "list", "--data", str(data))
        assert tokens.stdout.count("sota up --json-ready") == 1, tokens
    assert (ready.exists(), outside.stat().st_mode & 0o777) == (False, 0o777)
    tokens = sota("tokens", "list", "--data", str(data))
    assert (tokens.returncode, tokens.stdout.count("sota up --json-ready")) == (0, 0), tokens


def test_shared_folder_is_not_closed_but_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    ended = sota("up", *up_options(shared))
    assert (ended.returncode, "is open to other users" in ended.stderr, ended.stderr.count("\n")) == (2, True, 1)
    assert shared.stat().st_mode & 0o7777 == 0o1777


def test_second_agent_on_a_vehicles_folder_is_refused_and_the_vehicles_own_files_stay_as_they_are(
    tmp_path: Path,
) -> None:
    data = tmp_path / "vehicle"
    Authority.open(tmp_path / "authority").issue_vehicle(VIN, data / "identity")
    status = data / "root" / "var" / "lib" / "dpkg" / "status"
    status.parent.mkdir(parents=True)
    status.touch()
    for path in (data, data / "root", status):
        path.chmod(0o755)
    operation, link = free_ports(2)

    def options() -> list[str]:
        ports = [part for name in ("edge", "client", "slm") for part in (f"--{name}-port", str(free_ports(1)[0]))]
        return [VIN, "--data", str(data), "--backend", f"tls://127.0.0.1:{link}", *ports]

    log = tmp_path / "log"
    with running("vehicle", *options(), "--operation-port", str(operation), log=log) as first:
        _wait_for_text(log, "program_started", first, times=3)
        second = sota("vehicle", *options())
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert f"is in use by sota vehicle, process {first.pid}" in second.stderr
        for name in ("client", "slm"):
            alone = sota(name, "--set", f"data={data / name}", "--set", f"vin={VIN}")
            assert (alone.returncode, "is in use by sota" in alone.stderr) == (2, True), alone.stderr
        assert open_files(data, below="root") == []
        assert status.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "command",
    [
        ("up", "--data", "{}"),
        ("fleet", "--data", "{}"),
        ("web", "--set", "data={}"),
        ("core", "--set", "data={}"),
        ("resolver", "--set", "data={}"),
        ("rvi-node", "--set", "data={}"),
        ("client", "--set", "data={}", "--set", f"vin={VIN}"),
        ("slm", "--set", "data={}", "--set", f"vin={VIN}"),
        ("users", "list", "--data", "{}"),
        ("tokens", "list", "--data", "{}"),
        ("audit", "verify", "--data", "{}"),
        ("db", "upgrade", "core", "--data", "{}"),
        ("authority", "new", "{}"),
        ("enrol", VIN, "--authority", "authority", "--to", "{}"),
        ("identity", "request", VIN, "--to", "{}"),
        ("keys", "new", "{}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_folder_that_is_a_file_is_one_clear_line(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "authority").mkdir()
    (tmp_path / "authority" / "root.key").touch()
    (tmp_path / "file").touch()
    assert typed(*(part.format("file") for part in command)) == 2
    errors = capsys.readouterr().err
    assert (errors.startswith("sota: file"), errors.count("\n")) == (True, 1), errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authority", "file"]


@pytest.mark.parametrize("command", [("up", "--data"), ("fleet", "--data"), ("core", "--set")])
def test_folder_that_cannot_be_written_is_one_clear_line(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    name, option = command
    assert typed(name, option, "/proc/self/data" if option == "--data" else "data=/proc/self/data") == 2
    errors = capsys.readouterr().err
    assert (errors.startswith("sota: /proc/self/data"), errors.count("\n")) == (True, 1), errors


def test_vehicles_folder_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = sota("vehicle", VIN, "--data", "file", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (
        2, "sota: file: cannot be used as a data folder: is a file and no folder\n",
    )  # fmt: skip


def _wait_for_text(log: Path, text: str, process: subprocess.Popen[str], *, times: int) -> None:
    """Follow a log until it has the text this many times, or the process ends."""
    with subprocess.Popen(
        ["tail", "-n", "+1", "--follow", f"--pid={process.pid}", str(log)], stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        seen = 0
        for line in follower.stdout:
            seen += text in line
            if seen == times:
                break
        follower.terminate()
    assert seen == times, log.read_text()
