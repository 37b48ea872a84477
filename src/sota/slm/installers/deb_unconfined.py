"""Whether a Debian package can be installed unconfined: it runs no programs, and no link leads out of the root.

Needed only if a vehicle's root is a folder and the machine cannot confine dpkg. dpkg follows links while it unpacks and
removes: if one package installed ``/opt/maps`` as a link to ``/etc``, the file ``/opt/maps/passwd`` of another package
is the machine's.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, cast

from sota.slm.installers.deb_steps import SCRIPTS
from sota.slm.installers.tar_stream import BadArchive, Bounded, Forward

TIMEOUT_S = 600.0
MAX_BYTES = 1 << 40


def why_not_unconfined(file: Path, name: str, root: Path, database: Path) -> str:
    """Return why a package must not be installed unconfined; empty if it may."""
    try:
        own = scripts_of(file)
        if own:
            return f"The package has maintainer scripts ({', '.join(own)})"
        others = with_scripts(database)
        if others:
            return f"{others[0]} is installed and has maintainer scripts"
        links, paths = _content(file)
        for left in database.glob(f"info/{name}.list") if name else ():
            paths += [_inside(line) for line in left.read_text(errors="surrogateescape").splitlines()]
    except (OSError, subprocess.SubprocessError, tarfile.TarError, BadArchive) as error:
        return f"The package cannot be examined: {error}"
    led = _led_out(root, links, paths)
    return f"A link leads {led} of the package out of the vehicle's root" if led else ""


def scripts_of(file: Path) -> list[str]:
    """Return the names of a package's maintainer scripts."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--control", str(file), folder], capture_output=True, timeout=TIMEOUT_S, check=True)
        return [script for script in SCRIPTS if (Path(folder) / script).exists()]


def with_scripts(database: Path) -> list[str]:
    """Return the packages of a database that have maintainer scripts."""
    found = (path for script in SCRIPTS for path in database.glob(f"info/*.{script}"))
    return sorted({path.stem.partition(":")[0] for path in found})


def _content(file: Path) -> tuple[set[PurePosixPath], list[PurePosixPath]]:
    """Return a package's links, and all its paths."""
    links, paths = set(), []
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=_bounded(process), mode="r:") as archive,
    ):
        for member in archive:
            paths.append(_inside(member.name))
            if member.issym():
                links.add(paths[-1])
    return links, paths


def _bounded(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return Bounded(cast(IO[bytes], Forward(cast(IO[bytes], process.stdout))), MAX_BYTES).file


def _inside(path: str) -> PurePosixPath:
    return PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in {"/", "."}))


def _led_out(root: Path, links: set[PurePosixPath], paths: Iterable[PurePosixPath]) -> str:
    """Return a path that a link leads out of the root."""
    known: dict[PurePosixPath, bool] = {}
    for path in paths:
        for folder in path.parents:
            if folder not in known:
                known[folder] = folder in links or not (root / folder).resolve().is_relative_to(root)
            if known[folder]:
                return f"/{path}"
    return ""
