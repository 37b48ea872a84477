"""A vehicle with SWUpdate: two slots that are files, and a script that plays its boot loader."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sota.kit.files.durable import write_atomic
from tests.support.rauc_system import make_key, run

DESCRIPTION = """software =
{{
  version = "{version}";
  hardware-compatibility: [ "{hardware}" ];
  stable = {{
    a: {{ images: ( {{ filename = "rootfs.img"; device = "{slots}/a"; type = "raw"; sha256 = "{sha256}"; }} ); }};
    b: {{ images: ( {{ filename = "rootfs.img"; device = "{slots}/b"; type = "raw"; sha256 = "{sha256}"; }} ); }};
  }};
}}
"""
LOADER = """#!/bin/sh
case $1 in
booted) cat "{folder}/booted" ;;
following) cat "{folder}/following" ;;
activate) echo "$2" > "{folder}/following.new" && mv "{folder}/following.new" "{folder}/following" ;;
esac
"""


class SwupdateSystem:
    """The vehicle. ``slots`` is where the two slots' files are."""

    def __init__(self, folder: Path, slots: Path) -> None:
        self.folder, self.slots = folder, slots
        for each in (folder, slots):
            each.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            (slots / name).touch()
        self.certificate, self.key = make_key(folder, "trusted")
        self.loader = folder / "loader"
        self.loader.write_text(LOADER.format(folder=folder))
        self.loader.chmod(0o755)
        (folder / "following").write_text("a\n")
        self.boot()

    @property
    def options(self) -> dict[str, object]:
        """What the vehicle's settings say."""
        loader = str(self.loader)
        return {
            "key": str(self.certificate),
            "hardware": "board:1.0",
            "booted": [loader, "booted"],
            "following": [loader, "following"],
            "activate": [loader, "activate", "{slot}"],
            "slots": {"a": "stable,a", "b": "stable,b"},
        }

    def boot(self) -> None:
        """Boot the slot that the loader would."""
        write_atomic(self.folder / "booted", (self.folder / "following").read_bytes())  # a health check may read it

    @property
    def running_slot(self) -> Path:
        """Return the file of the running slot."""
        return self.slots / (self.folder / "booted").read_text().strip()

    def image(
        self,
        version: str,
        content: bytes,
        *,
        hardware: str = "1.0",
        signed_by: tuple[Path, Path] | None = None,
        sha256: str | None = None,
    ) -> Path:
        """Build a signed image; ``sha256`` is what it says of its content where that is not the truth."""
        certificate, key = signed_by or (self.certificate, self.key)
        parts = self.folder / f"image-{version}"
        parts.mkdir(exist_ok=True)
        (parts / "rootfs.img").write_bytes(content)
        description = DESCRIPTION.format(
            version=version,
            hardware=hardware,
            slots=self.slots,
            sha256=sha256 or hashlib.sha256(content).hexdigest(),
        )
        (parts / "sw-description").write_text(description)
        signing = ["openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig"]
        run(*signing, "-signer", certificate, "-inkey", key, "-outform", "DER", "-nosmimecap", "-binary", cwd=parts)
        names = b"sw-description\nsw-description.sig\nrootfs.img\n"
        file = self.folder / f"{version}.swu"
        file.write_bytes(run("cpio", "-o", "-H", "crc", "--quiet", cwd=parts, stdin=names))
        return file
