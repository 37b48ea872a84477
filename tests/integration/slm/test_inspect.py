"""``sota ctl packages inspect`` and ``sign`` for files of every kind: what they are, and that they are whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.package_signature import make_key_pair
from tests.integration.slm.test_builder import IVI, MAPS, built, ctl, write
from tests.support.rauc_system import make_key

RAUC = """kind = "rauc"
name = "system"
version = "7.0.0"
compatible = "Test Car"
format = "plain"

[images]
rootfs = "rootfs.img"
"""
SWUPDATE = """kind = "swupdate"
name = "system"
version = "7.0.0"
hardware = ["1.0"]

[[images]]
file = "rootfs.img"
devices = { "stable,a" = "/dev/a", "stable,b" = "/dev/b" }
"""
KINDS = {"deb": IVI, "archive": MAPS, "rauc": RAUC, "swupdate": SWUPDATE}
SAYS: dict[str, dict[str, Any]] = {
    "deb": {"package": "ivi", "version": "2.1.0", "architecture": "all", "files": ["./opt/ivi/version"]},
    "archive": {"unpacked": "6 bytes", "files": ["north/tile"]},
    "rauc": {"version": "7.0.0", "compatible": "Test Car", "files": ["rootfs.img"]},
    "swupdate": {"version": "7.0.0", "hardware": '"1.0"', "files": ["rootfs.img"]},
}
OWN = ("rauc", "swupdate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    for name in ("trusted", "stranger"):
        make_key(folder, name)
    make_key_pair(folder / "keys", "packages")
    recipes = {f"{kind}.toml": recipe for kind, recipe in KINDS.items()}
    files = {"maps/north/tile": "north\n", "ivi/opt/ivi/version": "2.1.0\n", "rootfs.img": "7.0.0 well\n" * 1_000}
    return write(folder, {**recipes, **files})


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Path]:
    """Build a file of each kind."""
    own = ("--certificate", "trusted.pem", "--certificate-key", "trusted.key")
    return {kind: built(f"{kind}.toml", *(own if kind in OWN else ()), cwd=folder) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_file_of_each_kind_is_told(made: dict[str, Path], folder: Path, kind: str) -> None:
    done = ctl("inspect", made[kind], "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {**json.loads(done.stdout), **SAYS[kind], "kind": kind} == json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_of_each_kind_is_found(made: dict[str, Path], folder: Path, kind: str) -> None:
    content, file = bytearray(made[kind].read_bytes()), folder / f"damaged-{kind}"
    place = content.rindex(b"7.0.0 well") if kind == "swupdate" else len(content) // 2
    content[place : place + 4] = bytes(byte ^ 0xFF for byte in content[place : place + 4])
    file.write_bytes(content)
    certificate = ("--certificate", "trusted.pem") if kind == "rauc" else ()
    done = ctl("inspect", file, *certificate, cwd=folder)
    assert done.returncode == 1, done.stdout
    assert file.name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", OWN)
def test_own_signature_is_held_against_a_certificate(made: dict[str, Path], folder: Path, kind: str) -> None:
    file = made[kind]
    assert "by trusted.pem" in ctl("inspect", file, "--certificate", "trusted.pem", cwd=folder).stdout
    refused = ctl("inspect", file, "--certificate", "stranger.pem", cwd=folder)
    assert (refused.returncode, "self-signed certificate" in refused.stderr) == (1, True)


def test_any_other_file_is_one_for_a_units_own_command(folder: Path) -> None:
    told = json.loads(ctl("inspect", "rootfs.img", "--json", cwd=folder).stdout)
    assert (told["kind"], told["bytes"], told["files"]) == ("command", 11_000, [])


@pytest.mark.parametrize(
    ("kind", "told"), [("deb", "upload --key"), ("archive", "sota keys sign"), ("swupdate", "when it is built")]
)
def test_sign_says_how_other_kinds_are_signed(made: dict[str, Path], folder: Path, kind: str, told: str) -> None:
    done = ctl("sign", made[kind], "--key", "keys/packages.key.pem", cwd=folder)
    assert (done.returncode, told in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("build", "deb.toml", "--out", "nowhere/x.deb"), "nowhere is no folder"),
        (("inspect", "nothing"), "nothing: No such file or directory"),
        (("inspect", "."), ".: Is a directory"),
        (("inspect", "rootfs.img", "--trusted", "keys"), "--trusted is for update images"),
        (("inspect", "rootfs.img", "--certificate", "trusted.pem"), "--certificate is for what RAUC and SWUpdate sign"),
        (("sign", "rootfs.img", "--key", "nothing"), "signing key nothing: No such file or directory"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done: subprocess.CompletedProcess[str] = ctl(*arguments, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
