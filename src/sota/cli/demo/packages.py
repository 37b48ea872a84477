"""The demo's three packages: real Debian packages, built by ``dpkg-deb``.

An application at two versions, and a library that version 2 needs and version 1 did not.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sota.kit.errors import StartError

TILE_BYTES = 1 << 20
BUILD_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class DemoPackage:
    """A package file and its upload metadata."""

    name: str
    version: str
    description: str
    file: Path
    dependencies: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """``navigation/2.0.0``."""
        return f"{self.name}/{self.version}"

    @property
    def sha256(self) -> str:
        """The file's SHA-256."""
        with self.file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class DemoPackages:
    """The demo's uploads."""

    before: DemoPackage
    after: DemoPackage
    library: DemoPackage

    @property
    def all(self) -> tuple[DemoPackage, ...]:
        """In the order of uploading: dependencies first."""
        return (self.library, self.before, self.after)


def make_packages(folder: Path) -> DemoPackages:
    """Build the three packages (about 10 MB in all).

    Raises:
        StartError: this machine has no dpkg-deb.
    """
    if shutil.which("dpkg-deb") is None:
        raise StartError("the demo makes Debian packages and needs dpkg-deb: run it on Debian or Ubuntu")
    library = DemoPackage("libroute", "1.4.0", "Route calculation", folder / "libroute_1.4.0.deb")
    before = DemoPackage("navigation", "1.0.0", "Navigation", folder / "navigation_1.0.0.deb")
    after = DemoPackage(
        "navigation",
        "2.0.0",
        "Navigation with live traffic",
        folder / "navigation_2.0.0.deb",
        dependencies=((library.name, library.version),),
    )
    for package, tiles in ((library, 2), (before, 1), (after, 6)):
        _build(package, tiles, folder / "build")
    return DemoPackages(before, after, library)


def _build(package: DemoPackage, tiles: int, work: Path) -> None:
    tree = work / f"{package.name}-{package.version}"
    share = tree / "usr/share" / package.name
    share.mkdir(parents=True)
    control = tree / "DEBIAN"
    control.mkdir()
    depends = "".join(f"Depends: {name} (>= {version})\n" for name, version in package.dependencies)
    (control / "control").write_text(
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: all\n{depends}"
        f"Maintainer: SOTA demo <demo@localhost>\nDescription: {package.description}\n"
    )
    generator = random.Random(package.text)  # noqa: S311 - map tiles that do not compress, the same each time
    for number in range(tiles):
        (share / f"tile-{number}.bin").write_bytes(generator.randbytes(TILE_BYTES))
    (share / "VERSION").write_text(f"{package.version}\n")
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(package.file)],
        check=True,
        capture_output=True,
        timeout=BUILD_TIMEOUT_S,
    )
    shutil.rmtree(tree)
