"""A vehicle with RAUC: two slots that are files, a boot loader that is a script, the real service on a private bus."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sota.kit.files.durable import write_atomic

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""
SYSTEM = """[system]
compatible=Test Car
bootloader=custom
mountprefix={folder}/mounts
statusfile={folder}/status

[handlers]
bootloader-custom-backend={folder}/loader

[keyring]
path={folder}/trusted.pem

[slot.rootfs.0]
device={slots}/a
type=raw
bootname=A

[slot.rootfs.1]
device={slots}/b
type=raw
bootname=B
"""
LOADER = """#!/bin/sh
case $1 in
get-primary) cat "{folder}/primary" 2>/dev/null || echo A ;;
set-primary) echo "$2" > "{folder}/primary.new" && mv "{folder}/primary.new" "{folder}/primary" ;;
get-state) cat "{folder}/state-$2" 2>/dev/null || echo good ;;
set-state) echo "$3" > "{folder}/state-$2.new" && mv "{folder}/state-$2.new" "{folder}/state-$2" ;;
esac
"""
SLOT_BYTES = 512 * 1024
START_TIMEOUT_S = 30.0


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate that may sign bundles and images; return certificate and key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    arguments = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", f"/CN={name}"]
    usage = ["-addext", "extendedKeyUsage=emailProtection", "-addext", "keyUsage=digitalSignature"]
    run(*arguments, *usage, "-keyout", key, "-out", certificate)
    return certificate, key


def make_dated_key(folder: Path, name: str, begins: datetime, ends: datetime) -> tuple[Path, Path]:
    """Make a self-signed certificate like :func:`make_key` that is valid at these times only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begins, ends).add_extension(usage, False)
    pem, format_, plain = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    certificate_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, format_, plain))
    return certificate_file, key_file


def run(*arguments: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Run a tool; its output is in the error where it fails."""
    done = subprocess.run([*arguments], cwd=cwd, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (arguments, done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace"))
    return done.stdout


class RaucSystem:
    """The vehicle. ``slots`` is where the two slots' files are."""

    def __init__(self, folder: Path, slots: Path) -> None:
        self.folder, self.slots = folder, slots
        for each in (folder, folder / "mounts", slots):
            each.mkdir(parents=True, exist_ok=True)
        for slot in ("a", "b"):
            with (slots / slot).open("wb") as file:
                file.truncate(SLOT_BYTES)
        self.certificate, self.key = make_key(folder, "trusted")
        # A socket's path may have 107 bytes, which a test's own folder uses up.
        self._short = Path(tempfile.mkdtemp(prefix="bus-"))
        socket = self._short / "s"
        (folder / "bus.conf").write_text(BUS.format(socket=socket))
        (folder / "system.conf").write_text(SYSTEM.format(folder=folder, slots=slots))
        loader = folder / "loader"
        loader.write_text(LOADER.format(folder=folder))
        loader.chmod(0o755)
        self.address = f"unix:path={socket}"
        self.booted = "A"
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._start("dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile")
            self._await(socket.exists)
            self._serve()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the service and the bus."""
        while self._processes:
            self._end_last()
        shutil.rmtree(self._short)

    def boot(self) -> None:
        """Boot the slot that the boot loader would choose."""
        primary = self.folder / "primary"
        self.booted = primary.read_text().strip() if primary.exists() else "A"
        self._end_last()
        self._serve()

    @property
    def running_slot(self) -> Path:
        """Return the file of the running slot."""
        return self.slots / self.booted.lower()

    def bundle(
        self,
        version: str,
        image: bytes,
        *,
        compatible: str = "Test Car",
        signed_by: tuple[Path, Path] | None = None,
        kind: str = "img",
    ) -> Path:
        """Build a bundle; of a ``kind`` that a slot does not take RAUC only says so when it comes to writing it.

        Its format is ``plain``: the others need the device mapper, which not every machine has.
        """
        certificate, key = signed_by or (self.certificate, self.key)
        content = Path(tempfile.mkdtemp(dir=self.folder))
        (content / f"rootfs.{kind}").write_bytes(image)
        manifest = f"[update]\ncompatible={compatible}\nversion={version}\n\n[image.rootfs]\nfilename=rootfs.{kind}\n"
        (content / "manifest.raucm").write_text(manifest)
        bundle = self.folder / f"{version}.raucb"
        bundle.unlink(missing_ok=True)
        run("rauc", "bundle", "--cert", certificate, "--key", key, content, bundle)
        return bundle

    def _serve(self) -> None:
        write_atomic(self.folder / "booted", str(self.running_slot).encode())  # a health check may read it
        conf = f"--conf={self.folder}/system.conf"
        self._start("rauc", conf, f"--override-boot-slot={self.booted}", "service")
        self._await(self._answers)

    def _end_last(self) -> None:
        process = self._processes.pop()
        process.terminate()
        process.wait(timeout=30)

    def _answers(self) -> bool:
        asked = subprocess.run(
            ["rauc", "status"],
            env=self._environment(),
            capture_output=True,
            timeout=30,
            check=False,
        )
        return asked.returncode == 0

    def _start(self, *arguments: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes.append(subprocess.Popen(arguments, env=self._environment(), stdout=log, stderr=log))

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address, "DBUS_STARTER_BUS_TYPE": "system"}

    def _await(self, holds: Any) -> None:
        ends = time.monotonic() + START_TIMEOUT_S
        while not holds():
            assert time.monotonic() < ends, (self.folder / "log").read_text()
            time.sleep(0.05)
