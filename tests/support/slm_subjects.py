"""Subjects for the contract of installers: how to build a package of each kind, and how to see what runs."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sota.kit.files.durable import write_atomic
from sota.slm.contract import Fault, NotApplicable
from sota.slm.installers import Installer, Place
from sota.slm.installers.loading import load
from tests.support import debs
from tests.support.machine import LACKS, why_no_loop_device, why_no_mount
from tests.support.rauc_system import RaucSystem
from tests.support.swupdate_system import SwupdateSystem


class SubjectOnDisk:
    """What all subjects share: a root folder, perhaps on a small disk of its own, and a health check that reads it."""

    name = "ivi"
    installer_name = ""
    faults = frozenset(Fault)

    def __init__(self, folder: Path, *, disk: Path | None = None) -> None:
        self.folder = folder
        self.root = disk or folder / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self.boot_id_file = folder / "boot_id"
        self.boot_id_file.write_text("1\n")
        self.disk = disk

    @property
    def version_file(self) -> Path:
        raise NotImplementedError

    @property
    def health_check(self) -> Sequence[str]:
        return ("/bin/sh", "-c", 'echo looking; ! grep -q unhealthy "$1"', "sh", str(self.version_file))

    def build(self, version: str, fault: Fault) -> Path:
        raise NotImplementedError

    def options(self) -> dict[str, object]:
        return {}

    def installer(self) -> Installer:
        return load(self.installer_name, Place(self.root, self.folder / "state", self.options()))

    def running(self) -> str | None:
        try:
            return self.version_file.read_text().split()[0]
        except OSError:
            return None

    def count_boot(self) -> None:
        """Change the id of the boot, which is read at any time."""
        write_atomic(self.boot_id_file, f"{self.boot_id_file.read_text().strip()}1\n".encode())

    def boot(self) -> None:
        raise AssertionError("nothing of this kind needs a boot")

    def close(self) -> None:
        """End what was started."""

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        if self.disk is None:
            raise NotApplicable(f"{LACKS}a small disk cannot be mounted, to be filled ({why_no_mount()})")
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        try:
            yield
        finally:
            filler.unlink()


class DebSubject(SubjectOnDisk):
    installer_name = "deb"

    @property
    def version_file(self) -> Path:
        return self.root / "opt/ivi/version"

    def build(self, version: str, fault: Fault) -> Path:
        scripts = {"prerm": "true", "postinst": "sleep 0.05"}
        if fault is Fault.FAILS:
            scripts["postinst"] = "echo the display does not answer >&2; exit 3"
        if fault is Fault.UNHEALTHY:
            scripts["postinst"] = f'echo "{version} unhealthy" > "$DPKG_ROOT/opt/ivi/version"'
        file = debs.build(self.folder / "packages", "ivi", version, scripts=scripts, payload_bytes=50_000)
        if fault is Fault.DAMAGED:
            content = bytearray(file.read_bytes())
            content[content.index(b"control.tar") + 60] ^= 0x40
            file.write_bytes(content)
        return file

    def running(self) -> str | None:
        return debs.installed(self.root).get("ivi")


class ArchiveSubject(SubjectOnDisk):
    installer_name = "archive"

    def options(self) -> dict[str, object]:
        return {"max_bytes": 200_000}

    @property
    def version_file(self) -> Path:
        return self.root / "opt/archives/ivi/current/version"

    def build(self, version: str, fault: Fault) -> Path:
        text = f"{version} unhealthy\n" if fault is Fault.UNHEALTHY else f"{version}\n"
        files = {"version": text.encode(), "bin/tool": b"#!/bin/sh\n", "data": debs.noise(version, 50_000)}
        if fault is Fault.FAILS:
            files["more"] = bytes(200_000)
        file = self.folder / f"ivi-{version}.tar.gz"
        write_archive(file, files)
        if fault is Fault.DAMAGED:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0x10
            file.write_bytes(content)
        return file


FLASH = """
import pathlib, sys, time
unit = pathlib.Path(sys.argv[1])
if sys.argv[2] == "version":
    print(unit.read_text().split()[0] if unit.exists() else "")
elif sys.argv[2] == "erase":
    unit.unlink(missing_ok=True)
else:
    content = pathlib.Path(sys.argv[3]).read_text()
    version, *words = content.split()
    time.sleep(0.05)
    if {"fails", "damaged"} & set(words) or not version.strip("\\0"):
        sys.exit("the unit does not take it")
    new = unit.with_suffix(".new")
    new.write_text(content)
    new.replace(unit)
"""


class CommandSubject(SubjectOnDisk):
    """A unit that is flashed by a program of its maker; here one that writes a file."""

    installer_name = "command"

    def __init__(self, folder: Path, *, disk: Path | None = None) -> None:
        super().__init__(folder, disk=disk)
        # Once: a step that goes on without us may be about to read it when the next installer is made.
        (folder / "flash.py").write_text(FLASH)

    @property
    def version_file(self) -> Path:
        return self.root / "unit"

    def options(self) -> dict[str, object]:
        program = [sys.executable, "-I", str(self.folder / "flash.py"), str(self.version_file)]
        unit = {
            "packages": ["ivi"],
            "query": [*program, "version"],
            "install": [*program, "flash", "{file}"],
            "remove": [*program, "erase"],
        }
        return {"units": {"display": unit}}

    def build(self, version: str, fault: Fault) -> Path:
        file = self.folder / f"ivi-{version}.bin"
        file.write_text(version + (f" {fault.value}" if fault is not Fault.NONE else "") + "\n" + " " * 9_000)
        return file


class RaucSubject(SubjectOnDisk):
    """A system in two slots that RAUC's real service writes."""

    name = "system"
    installer_name = "rauc"

    def __init__(self, folder: Path, *, disk: Path | None = None) -> None:
        super().__init__(folder, disk=disk)
        require_loop_device()
        self.system = RaucSystem(folder / "rauc", self.root)

    def close(self) -> None:
        self.system.close()

    def options(self) -> dict[str, object]:
        return {"address": self.system.address}

    @property
    def health_check(self) -> Sequence[str]:
        return look_at(f"cat {quoted(str(self.system.folder / 'booted'))}")

    def build(self, version: str, fault: Fault) -> Path:
        kind = "unheard-of" if fault is Fault.FAILS else "img"
        bundle = self.system.bundle(version, system_image(version, fault), kind=kind)
        if fault is Fault.DAMAGED:
            flip_a_byte(bundle)
        return bundle

    def running(self) -> str | None:
        return version_in(self.system.running_slot)

    def boot(self) -> None:
        self.system.boot()
        self.count_boot()


class SwupdateSubject(SubjectOnDisk):
    """A system in two slots that SWUpdate writes."""

    name = "system"
    installer_name = "swupdate"

    def __init__(self, folder: Path, *, disk: Path | None = None) -> None:
        super().__init__(folder, disk=disk)
        self.system = SwupdateSystem(folder / "swupdate", self.root)

    def options(self) -> dict[str, object]:
        return self.system.options

    @property
    def health_check(self) -> Sequence[str]:
        return look_at(f"echo {quoted(str(self.root))}/$({quoted(str(self.system.loader))} booted)")

    def build(self, version: str, fault: Fault) -> Path:
        content = system_image(version, fault)
        # A hash that is not its content's is only found while it is written.
        image = self.system.image(version, content, sha256="0" * 64 if fault is Fault.FAILS else None)
        if fault is Fault.DAMAGED:
            flip_a_byte(image)
        return image

    def running(self) -> str | None:
        return version_in(self.system.running_slot)

    def boot(self) -> None:
        self.system.boot()
        self.count_boot()


def look_at(finder: str) -> Sequence[str]:
    """Return a health check of the slot whose file a command prints."""
    return ("/bin/sh", "-c", f'echo looking; ! head -c 64 "$({finder})" | grep -aq unhealthy')


def system_image(version: str, fault: Fault) -> bytes:
    """Make an image of a system that says its version, and whether it is well, at its beginning."""
    text = f"{version} {'unhealthy' if fault is Fault.UNHEALTHY else 'well'}\n".encode()
    return text + debs.noise(version, 100_000)


def version_in(slot: Path) -> str | None:
    """Read which version is in a slot; None where nothing was ever written."""
    with slot.open("rb") as file:
        first = file.read(64)
    return first.split()[0].decode() if first.strip(b"\0") else None


def flip_a_byte(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def require_loop_device() -> None:
    """RAUC mounts a bundle through a loop device.

    Raises:
        NotApplicable: this machine has none that we may use.
    """
    why = why_no_loop_device()
    if why is not None:
        raise NotApplicable(f"{LACKS}RAUC mounts its bundles through a loop device ({why}); run the tests as root")


def write_archive(file: Path, files: dict[str, bytes], mode: str = "w:gz") -> None:
    """Write a tar archive of these files."""
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(content))


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path | None]:
    """Mount a disk of this size; return None where the machine does not let us."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        timeout=30,
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, timeout=30)


def quoted(*arguments: str) -> str:
    """Quote a command line for a shell."""
    return shlex.join(arguments)
