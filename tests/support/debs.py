"""Builds small, real Debian packages for tests: ``build(folder, "ivi", "2.0.0", depends="libnav (>= 1.1.0)")``."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


def build(  # noqa: PLR0913 - a package is many things
    folder: Path,
    name: str,
    version: str,
    *,
    depends: str = "",
    postinst: str = "",
    scripts: dict[str, str] | None = None,
    payload_bytes: int = 0,
    files: dict[str, str] | None = None,
    conffiles: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    **fields_too: str,
) -> Path:
    """Build ``<folder>/<name>_<version>.deb``.

    It installs ``opt/<name>/version`` and, where ``payload_bytes`` says so, a file of that size that does not compress.
    ``files`` are further files by their absolute paths, of which those in ``conffiles`` are configuration files.
    ``postinst`` is the text of a shell script (without its first line); ``scripts`` are further control files by name;
    ``fields`` and ``fields_too`` are fields of the control file.
    Inside, ``$DPKG_ROOT`` is the vehicle's root folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        tree = Path(temporary)
        tree.chmod(0o755)
        content = tree / "opt" / name
        content.mkdir(parents=True)
        (content / "version").write_text(f"{version}\n")
        for path, text in (files or {}).items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        if payload_bytes:
            (content / "payload").write_bytes(noise(f"{name}/{version}", payload_bytes))
        control = tree / "DEBIAN"
        control.mkdir()
        control_fields = {
            "Package": name,
            "Version": version,
            "Architecture": "all",
            "Maintainer": "Test <test@example.org>",
            "Depends": depends,
            "Description": f"{name} for tests",
            **(fields or {}),
            **fields_too,
        }
        (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in control_fields.items() if value))
        if conffiles:
            (control / "conffiles").write_text("".join(f"{path}\n" for path in conffiles))
        for script, text in {**(scripts or {}), **({"postinst": postinst} if postinst else {})}.items():
            (control / script).write_text(f"{text}\n" if script == "triggers" else f"#!/bin/sh\n{text}\n")
            (control / script).chmod(0o755)
        target = folder / f"{name}_{version}.deb"
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(target)],
            check=True,
            capture_output=True,
            timeout=60,
        )
    return target


def build_tree(folder: Path, name: str, version: str, lay_out: Callable[[Path], object]) -> Path:
    """Build a package whose files ``lay_out`` makes, in a tree that has a folder ``opt``."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}_{version}.deb"
    with TemporaryDirectory() as temporary:
        tree = Path(temporary)
        tree.chmod(0o755)
        (tree / "opt").mkdir()
        lay_out(tree)
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        write(tree / "DEBIAN/control", f"{fields}Maintainer: Test <test@example.org>\nDescription: {name} for tests\n")
        command = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return target


def write(file: Path, content: str) -> None:
    """Write a file, and create its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def noise(seed: str, size: int) -> bytes:
    """Return random bytes, the same for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


def installed(root: Path) -> dict[str, str]:
    """Ask the package database under ``root`` itself: name to version of what is installed and whole."""
    answer = subprocess.run(
        ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Package} ${Version} ${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    rows = [line.split() for line in answer.stdout.splitlines()]
    return {row[0]: row[1] for row in rows if row[2:] == ["installed"]}


def install(root: Path, *packages: Path) -> None:
    """Install packages under ``root`` by dpkg alone, as a factory or a workshop does."""
    database = root / "var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (database / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/log").mkdir(parents=True, exist_ok=True)
    for file in ("status", "available"):
        (database / file).touch()
    forced = [f"--force-{what}" for what in ("not-root", "bad-path", "script-chrootless")]
    for package in packages:
        subprocess.run(
            ["dpkg", f"--root={root}", f"--log={root / 'var/log/dpkg.log'}", *forced, "--install", str(package)],
            check=True,
            capture_output=True,
            timeout=60,
        )
