"""Makes a Debian package from installed files, so that a version without a backup can be restored.

Its control fields come from dpkg's database, its files from the vehicle's file system, its maintainer scripts from the
database's folder. Rules kept here:

* a configuration file that was changed in the vehicle is not packed: dpkg would take it for the distributor's and
  replace it at the next update. It stays in place, and dpkg still knows that it was changed;
* a diverted file is read from its diverted path;
* a listed path with others below it is a folder in the package, also if the vehicle has a link to one (``/bin``);
* links are followed inside the vehicle's root folder only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sota.kit.files.durable import shared_folder

LEFT_OUT = {"Status", "Conffiles", "Config-Version", "Triggers-Pending", "Triggers-Awaited", ""}
CONTROL_FILES = ("preinst", "postinst", "prerm", "postrm", "config", "templates", "triggers", "conffiles", "shlibs")
CONFFILE = re.compile(
    r" (?P<path>/.*?) (?P<digest>[0-9a-f]{32}|newconffile)(?P<flags>(?: obsolete| remove-on-upgrade)*)"
)
LINKS_LIMIT = 40


@dataclass(frozen=True, slots=True)
class Conffile:
    """A configuration file in dpkg's database: ``digest`` is the MD5 of the distributor's version."""

    path: str
    digest: str
    is_obsolete: bool


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed package: its paragraph in dpkg's database, and its diverted files."""

    root: Path
    database: Path
    name: str
    stanza: str
    diversions: Mapping[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> Sequence[str]:
        """The paths that dpkg lists for it.

        Raises:
            OSError: dpkg has no list of its files.
        """
        lines = info_file(self.database, self.name, "list").read_text(errors="surrogateescape").splitlines()
        return [line for line in lines if line.strip("/.")]

    def place(self, path: str, *, follow: bool = False) -> Path:
        """Return the path of one of its files below the root folder, with diversions applied."""
        return locate(self.root, self.diversions.get(path, path), follow=follow)

    def is_changed(self, conffile: Conffile) -> bool:
        """Report whether a configuration file exists and is not the distributor's."""
        try:
            content = self.place(conffile.path, follow=True).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except IsADirectoryError:
            return True
        return hashlib.md5(content, usedforsecurity=False).hexdigest() != conffile.digest


def control_of(stanza: str) -> str:
    """Return the control file of a package from its paragraph in dpkg's database (``dpkg-query --status``).

    >>> control_of("Package: ivi\\nStatus: install ok installed\\nConffiles:\\n /etc/ivi 0123\\nVersion: 1.0.0")
    'Package: ivi\\nVersion: 1.0.0\\n'
    """
    fields = _fields(stanza)
    return "".join(f"{line}\n" for name, lines in fields.items() if name not in LEFT_OUT for line in lines)


def conffiles_of(stanza: str) -> list[Conffile]:
    """Return the configuration files of a package from its paragraph in dpkg's database.

    >>> conffiles_of("Package: ivi\\nConffiles:\\n /etc/ivi 00000000000000000000000000000000 obsolete\\nVersion: 1")
    [Conffile(path='/etc/ivi', digest='00000000000000000000000000000000', is_obsolete=True)]
    """
    found = (CONFFILE.fullmatch(line) for line in _fields(stanza).get("Conffiles", []))
    return [Conffile(each["path"], each["digest"], "obsolete" in each["flags"]) for each in found if each]


def copy_tree(package: Installed, tree: Path) -> None:
    """Copy the package's files to ``tree``, as ``dpkg-deb --build`` requires them.

    Raises:
        OSError: dpkg has no list of its files, or one cannot be read.
    """
    _make_folder(tree, 0o755)
    listed = package.listed
    folders = {str(parent) for path in listed for parent in Path(path).parents}
    folders |= _shared_links(package, [path for path in listed if path not in folders])
    conffiles = conffiles_of(package.stanza)
    left_out = {each.path for each in conffiles if each.is_obsolete or package.is_changed(each)}
    for path in listed:
        if path not in left_out:
            is_folder = path in folders
            source = locate(package.root, f"{path}/x").parent if is_folder else package.place(path)
            _copy(source, tree / path.lstrip("/"), is_folder=is_folder)
    folder = tree / "DEBIAN"
    _make_folder(folder, 0o755)
    (folder / "control").write_text(control_of(package.stanza))
    (folder / "control").chmod(0o644)
    for kind in CONTROL_FILES:
        source = info_file(package.database, package.name, kind)
        if source.exists():
            shutil.copy(source, folder / kind)
    known = folder / "conffiles"
    if known.exists():  # a file that was deleted or left out is listed but not in the tree
        lines = [line for line in known.read_text().splitlines() if os.path.lexists(tree / line.strip().lstrip("/"))]
        known.write_text("".join(f"{line}\n" for line in lines))


def info_file(database: Path, name: str, kind: str) -> Path:
    """Return a package's file of one kind in dpkg's database (``list``, ``postinst``).

    Raises:
        OSError: it is a link: dpkg makes none, and a script's link may lead out of the vehicle.
    """
    bare = name.partition(":")[0]
    plain = database / "info" / f"{name}.{kind}"
    others = (database / "info").glob(f"{bare}:*.{kind}")
    found = plain if os.path.lexists(plain) else next(others, database / "info" / f"{bare}.{kind}")
    if found.is_symlink():
        raise OSError(f"{found} is a link")
    return found


def locate(root: Path, path: str, *, follow: bool = False) -> Path:
    """Return a path of the vehicle below ``root``: links to its folder are followed inside ``root`` only.

    With ``follow`` the path itself is followed, too.

    Raises:
        OSError: the links form a circle.
    """
    found, left, links = root, [part for part in path.split("/") if part not in {"", "."}][::-1], 0
    while left:
        part = left.pop()
        if part == "..":
            found = found.parent if found != root else root
        elif (left or follow) and (found / part).is_symlink():
            links += 1
            if links > LINKS_LIMIT:
                raise OSError(f"{path}: too many links")
            target = os.readlink(found / part)  # noqa: PTH115 - the text itself
            found = root if target.startswith("/") else found
            left += [each for each in target.split("/") if each not in {"", "."}][::-1]
        else:
            found /= part
    return found


def _fields(stanza: str) -> dict[str, list[str]]:
    """Return the lines of each field of a paragraph."""
    fields: dict[str, list[str]] = {}
    name = ""
    for line in stanza.splitlines():
        if not line.startswith(" "):
            name = line.partition(":")[0]
        fields.setdefault(name, []).append(line)
    return fields


def _shared_links(package: Installed, leaves: Iterable[str]) -> set[str]:
    """Return the links to folders that other packages also list: only a folder can belong to several packages."""
    links = {path for path in leaves if (place := package.place(path)).is_symlink() and place.is_dir()}
    if not links:
        return set()
    own = info_file(package.database, package.name, "list")
    others = (file for file in (package.database / "info").glob("*.list") if file != own)
    return {line for file in others for line in file.read_text(errors="surrogateescape").splitlines() if line in links}


def _copy(source: Path, target: Path, *, is_folder: bool) -> None:
    shared_folder(target.parent)
    if not is_folder and source.is_symlink():
        target.symlink_to(source.readlink())
    elif is_folder or source.is_dir():
        known = source.stat() if source.is_dir() else None
        _make_folder(target, stat.S_IMODE(known.st_mode) if known else 0o755)
        _own(target, known)
    elif source.exists():
        with contextlib.suppress(OSError):
            os.link(source, target)
        if not target.exists():
            _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    known = source.stat()
    if stat.S_ISREG(known.st_mode):
        shutil.copyfile(source, target)
    else:
        os.mknod(target, known.st_mode, known.st_rdev)
    _own(target, known)
    shutil.copystat(source, target)


def _own(target: Path, known: os.stat_result | None) -> None:
    if known is not None and os.geteuid() == 0:
        os.chown(target, known.st_uid, known.st_gid)
        target.chmod(stat.S_IMODE(known.st_mode))  # changing the owner clears the set-id bits


def _make_folder(path: Path, mode: int) -> None:
    """Create a folder with exactly this mode, regardless of the umask."""
    path.mkdir(exist_ok=True, parents=True)
    path.chmod(mode)
