"""Makes a Debian package out of what is installed, so that a version whose file nobody kept can be restored.

Its control fields come from dpkg's database, its files from the vehicle's file system as they are now, its maintainer
scripts from the database's folder. Configuration files are in it as they were changed in the vehicle.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

LEFT_OUT = ("Status:", "Conffiles:", "Config-Version:", "Triggers-Pending:", "Triggers-Awaited:")
CONTROL_FILES = ("preinst", "postinst", "prerm", "postrm", "config", "templates", "triggers", "conffiles", "shlibs")


def control_of(stanza: str) -> str:
    """Give the control file of a package from its paragraph in dpkg's database (``dpkg-query --status``).

    >>> control_of("Package: ivi\\nStatus: install ok installed\\nConffiles:\\n /etc/ivi 0123\\nVersion: 1.0.0")
    'Package: ivi\\nVersion: 1.0.0\\n'
    """
    kept: list[str] = []
    keeping = True
    for line in stanza.splitlines():
        if not line.startswith(" "):
            keeping = bool(line) and not line.startswith(LEFT_OUT)
        if keeping:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def copy_tree(root: Path, database: Path, name: str, control: str, tree: Path) -> None:
    """Lay the package's files out in ``tree`` as ``dpkg-deb --build`` wants them.

    Raises:
        OSError: dpkg has no list of its files, or one cannot be read.
    """
    tree.mkdir(parents=True)
    tree.chmod(0o755)
    listed = _info(database, name, "list").read_text().splitlines()
    for line in listed:
        if line.strip("/."):
            _copy(root / line.lstrip("/"), tree / line.lstrip("/"))
    folder = tree / "DEBIAN"
    folder.mkdir(mode=0o755)
    (folder / "control").write_text(control)
    for kind in CONTROL_FILES:
        source = _info(database, name, kind)
        if source.exists():
            shutil.copy(source, folder / kind)
    conffiles = folder / "conffiles"
    if conffiles.exists():  # one that was deleted in the vehicle is in the list and not in the tree
        lines = [line for line in conffiles.read_text().splitlines() if (tree / line.strip().lstrip("/")).exists()]
        conffiles.write_text("".join(f"{line}\n" for line in lines))


def _info(database: Path, name: str, kind: str) -> Path:
    plain = database / "info" / f"{name}.{kind}"
    return plain if plain.exists() else next(iter((database / "info").glob(f"{name}:*.{kind}")), plain)


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(source.stat().st_mode & 0o7777)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            os.link(source, target)
        if not target.exists():
            shutil.copy2(source, target)
