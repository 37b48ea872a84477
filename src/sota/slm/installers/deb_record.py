"""The record of all packages before an update, and what happened to the other packages since.

dpkg installs one package and may change others: it removes conflicting ones, takes over files, runs their triggers, and
leaves a package installed whose dependency on the old version no longer holds. Nothing here changes packages: reading
is one ``dpkg-query``, and versions are compared by ``dpkg --compare-versions``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from sota.kit.files.durable import sync_file, sync_folder
from sota.slm.installers.deb_copy import Installed, conffiles_of, info_file
from sota.slm.model import OtherPackages

FIELDS = (
    "Package",
    "Architecture",
    "Version",
    "db:Status-Want",
    "db:Status-Status",
    "db:Status-Eflag",
    "Provides",
    "Pre-Depends",
    "Depends",
)
FORMAT = "\\t".join(f"${{{field}}}" for field in FIELDS) + "\\n"
RELATION = re.compile(
    r"\s*([a-zA-Z0-9][a-zA-Z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?\s*"
)
DIVERSION = re.compile(r"diversion of (.+?) to .+ by (\S+)")
COMPARE_TIMEOUT_S = 30.0


class Package(msgspec.Struct, frozen=True):
    """One package in dpkg's database."""

    name: str
    architecture: str
    version: str
    want: str
    status: str
    flag: str
    provides: str = ""
    pre_depends: str = ""
    depends: str = ""

    @property
    def key(self) -> str:
        """Its name, unique if it is installed for several architectures."""
        return f"{self.name}:{self.architecture}" if self.architecture else self.name

    @property
    def is_installed(self) -> bool:
        """Whether it is completely installed."""
        return self.status == "installed" and self.flag == "ok"

    @property
    def is_absent(self) -> bool:
        """Whether nothing but its configuration is left."""
        return self.status in {"not-installed", "config-files"}

    @property
    def is_unconfigured(self) -> bool:
        """Whether it needs ``dpkg --configure``."""
        return self.status in {"unpacked", "half-configured", "triggers-awaited", "triggers-pending"}

    @property
    def names(self) -> set[str]:
        """Its own name and the names that it provides."""
        return {self.name, *(name for name, _, _ in relations(self.provides))}


class KeptConffile(msgspec.Struct, frozen=True):
    """A copy of a configuration file, in the file ``copy`` of the record's folder."""

    path: str
    copy: str
    mode: int
    uid: int
    gid: int


class Companion(msgspec.Struct, frozen=True):
    """A package that the new one may replace: ``file`` is its package file in the record's folder.

    ``digest`` covers its list of files without ``conffiles``.
    """

    file: str
    digest: str
    conffiles: tuple[str, ...]


class Record(msgspec.Struct, frozen=True):
    """The state of all packages before the first step."""

    packages: dict[str, Package]
    companions: dict[str, Companion] = {}
    conffiles: tuple[KeptConffile, ...] = ()
    diversions: tuple[str, ...] = ()
    """The output of ``dpkg-divert --list``."""

    def target(self, name: str) -> Package | None:
        """Return the recorded state of the updated package; None if dpkg did not know it."""
        return next((package for package in self.packages.values() if package.name == name), None)


def parse(output: str) -> dict[str, Package]:
    """Return the packages that ``dpkg-query`` prints with ``FORMAT``."""
    rows = (line.split("\t") for line in output.splitlines())
    packages = [Package(*row) for row in rows if len(row) == len(FIELDS)]
    return {package.key: package for package in packages if package.status != "not-installed"}


def read_record(folder: Path) -> Record | None:
    """Return a record; None if none was made.

    Raises:
        OSError, msgspec.DecodeError: it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / "record.json").read_bytes(), type=Record)
    except FileNotFoundError:
        return None


def keep_conffiles(installed: Installed, folder: Path, first: int, *, only_changed: bool) -> list[KeptConffile]:
    """Copy a package's configuration files into ``folder``, numbered from ``first``.

    Raises:
        OSError: one cannot be read or copied.
    """
    kept: list[KeptConffile] = []
    for conffile in conffiles_of(installed.stanza):
        place = installed.place(conffile.path, follow=True)
        if place.is_file() and (not only_changed or installed.is_changed(conffile)):
            copy, known = f"conffile-{first + len(kept)}", place.stat()
            (folder / copy).write_bytes(place.read_bytes())
            path = installed.diversions.get(conffile.path, conffile.path)
            kept.append(KeptConffile(path, copy, stat.S_IMODE(known.st_mode), known.st_uid, known.st_gid))
    return kept


def companion(installed: Installed, file: str) -> Companion:
    """Return the description of a package whose package file in the record's folder is ``file``."""
    conffiles = tuple(conffile.path for conffile in conffiles_of(installed.stanza))
    return Companion(file, list_digest(installed.database, installed.name, conffiles), conffiles)


def write_record(folder: Path, record: Record) -> None:
    """Complete the record in ``folder``, and make it durable.

    Raises:
        OSError: the disk is full or fails.
    """
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    for file in folder.iterdir():
        sync_file(file)
    sync_folder(folder)


def list_digest(database: Path, key: str, conffiles: Collection[str]) -> str:
    """Return a digest of a package's list of files, which changes when another package takes over some."""
    try:
        listed = set(info_file(database, key, "list").read_bytes().splitlines())
    except OSError:
        return ""
    return hashlib.sha256(b"\n".join(sorted(listed - {os.fsencode(path) for path in conffiles}))).hexdigest()


def relations(text: str) -> Iterator[tuple[str, str, str]]:
    """Return each name of a relation field, with its operator and version.

    >>> list(relations("libnav (>= 1.1), ivi:any | radio"))
    [('libnav', '>=', '1.1'), ('ivi', '', ''), ('radio', '', '')]
    """
    for part in re.split(r"[,|]", text):
        found = RELATION.fullmatch(part)
        if found:
            yield found[1], found[2] or "", found[3] or ""


def may_be_replaced(packages: Iterable[Package], name: str, replaces: str) -> list[Package]:
    """Return the installed packages that dpkg may remove, or take files from, for one that ``replaces`` these."""
    replaced = {each for each, _, _ in relations(replaces)}
    return [
        package
        for package in packages
        if package.is_installed
        and package.name != name
        and (package.names & replaced or package.want not in {"install", "hold"})
    ]


def diverted_since(before: Collection[str], now: Iterable[str], name: str) -> list[str]:
    """Return the paths that a package has diverted since, from two outputs of ``dpkg-divert --list``.

    >>> diverted_since((), ["diversion of /bin/a to /bin/a.real by ivi", "diversion of /bin/b to /b by nav"], "ivi")
    ['/bin/a']
    """
    added = (DIVERSION.fullmatch(line) for line in now if line not in before)
    return [found[1] for found in added if found and found[2] == name]


def is_lost(record: Record, key: str, now: Mapping[str, Package], database: Path) -> bool:
    """Report whether a package that was installed has changed."""
    was, found = record.packages[key], now.get(key)
    if not was.is_installed:
        return False
    if found is None or not found.is_installed or found.version != was.version:
        return True
    known = record.companions.get(key)
    return known is not None and list_digest(database, key, known.conffiles) != known.digest


def compare(
    name: str, record: Record, now: Mapping[str, Package], database: Path, later: Collection[str]
) -> OtherPackages:
    """Return what happened to all packages but ``name``; the dependencies of those in ``later`` are not checked."""
    broken, changed = [], []
    for key, was in record.packages.items():
        if was.name == name or not is_lost(record, key, now, database):
            continue
        found = now.get(key)
        if found is None or found.is_absent:
            changed.append(f"{was.name} {was.version} was removed")
        elif not found.is_installed:
            broken.append(f"{was.name} {was.version} is {found.status} now")
        else:
            differs = f"has version {found.version} now" if found.version != was.version else "lost files"
            changed.append(f"{was.name} {was.version} {differs}")
    broken += _unsatisfied(name, record.packages, now, later)
    return OtherPackages(tuple(broken), tuple(changed))


def _unsatisfied(
    name: str, before: Mapping[str, Package], now: Mapping[str, Package], later: Collection[str]
) -> Iterator[str]:
    """Yield the dependencies of installed packages that held before and do not now."""
    touched: set[str] = set()
    for key in {*before, *now}:
        was, found = before.get(key), now.get(key)
        if was != found:
            touched |= (was.names if was else set()) | (found.names if found else set())
    for key, package in now.items():
        if package.name in {name, *later} or not package.is_installed or key not in before:
            continue
        for clause in f"{package.pre_depends},{package.depends}".split(","):
            wanted = list(relations(clause))
            if touched.isdisjoint(each for each, _, _ in wanted):
                continue
            if _holds(wanted, before) and not _holds(wanted, now):
                yield f"{package.name} {package.version} needs {clause.strip()}"


def _holds(wanted: Iterable[tuple[str, str, str]], packages: Mapping[str, Package]) -> bool:
    return any(
        _meets(package, name, operator, version)
        for name, operator, version in wanted
        for package in packages.values()
        if package.status in {"installed", "triggers-awaited", "triggers-pending"}
    )


def _meets(package: Package, name: str, operator: str, version: str) -> bool:
    if package.name == name and (not operator or _is(package.version, operator, version)):
        return True
    return any(
        provided == name and (not operator or (bool(exactly) and _is(exactly, operator, version)))
        for provided, _, exactly in relations(package.provides)
    )


def _is(version: str, operator: str, wanted: str) -> bool:
    command = ["dpkg", "--compare-versions", version, operator, wanted]
    return subprocess.run(command, capture_output=True, timeout=COMPARE_TIMEOUT_S, check=False).returncode == 0
