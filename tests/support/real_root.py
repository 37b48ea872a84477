"""A whole Debian in a folder, made by mmdebstrap, with real packages and later versions of them that may fail.

It is made once and kept in ``var/`` for a week: half of its three minutes is downloading.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sota.slm.contract import Fault
from sota.slm.installers import Installer, Place
from sota.slm.installers.loading import load
from tests.support import debs

PACKAGES = {
    "adduser": "asks through debconf",
    "base-files": "essential, conffiles, the root's own folders",
    "busybox": "/bin on a merged /usr, conflicts with busybox-static",
    "ca-certificates": "debconf, triggers, a file that its scripts make",
    "cron": "conffiles, a service, a group of its own, set-group-id",
    "gzip": "essential, /bin on a merged /usr",
    "hostname": "essential, /bin on a merged /usr",
    "install-info": "triggers",
    "kmod": "conffiles, links in /sbin",
    "less": "alternatives, /bin on a merged /usr",
    "libc-bin": "essential, triggers of ldconfig",
    "logrotate": "conffiles, a service",
    "mawk": "alternatives of an essential command",
    "molly-guard": "diversions",
    "nano": "alternatives, conffiles, /bin on a merged /usr",
    "net-tools": "/bin and /sbin on a merged /usr",
    "netcat-openbsd": "alternatives, /bin on a merged /usr",
    "passwd": "conffiles, pre-dependencies",
    "procps": "conffiles, a service, alternatives",
    "sed": "essential, /bin on a merged /usr",
    "tzdata": "debconf, files that its scripts make",
    "ucf": "debconf, conffiles",
}
BESIDE = ("busybox-static",)
"""Not in the root; each takes the place of a package that is."""
BASE = ("debconf",)
CACHE = Path("var/tests")
CACHE_S = 7 * 86_400
MAKE_TIMEOUT_S = 1_800.0
VOLATILE = (
    *("debs", "dev", "proc", "run", "sys", "tmp"),
    *("var/log", "var/lib/dpkg", "var/cache"),
    *("etc/ld.so.cache", "usr/share/info/dir", "usr/share/info/dir.old"),
)
"""What is not compared: what a boot clears, and what triggers of other packages make from what is there."""
# What the script does is done, and then it fails.
FAILS_LATE = "trap 'exit 1' EXIT"


class CannotMake(Exception):
    """This machine cannot make the root."""


def make_root(folder: Path) -> Path:
    """Unpack a fresh root below ``folder``, making the archive first where there is none.

    Raises:
        CannotMake: mmdebstrap fails, for example because no package registry is reached.
    """
    archive = _archive()
    root = folder / "root"
    root.mkdir(parents=True)
    subprocess.run(
        ["tar", "-xpf", archive, "-C", root, "--numeric-owner"], check=True, timeout=300, capture_output=True
    )
    shutil.move(root / "debs", folder / "debs")
    return root


def _archive() -> Path:
    wanted = sorted([*PACKAGES, *BASE])
    release = _release()
    words = " ".join([release, *wanted, *BESIDE])
    archive = CACHE / f"root-{hashlib.sha256(words.encode()).hexdigest()[:12]}.tar"
    if archive.exists() and archive.stat().st_mtime > time.time() - CACHE_S:
        return archive
    CACHE.mkdir(parents=True, exist_ok=True)
    download = f"cd /debs && apt-get -qq download {' '.join([*PACKAGES, *BESIDE])}"
    new = archive.with_suffix(".new.tar")
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(wanted)}",
        '--customize-hook=mkdir "$1/debs"',
        f"--customize-hook=chroot \"$1\" sh -c '{download}'",
        release,
        str(new),
    ]
    done = subprocess.run(command, check=False, timeout=MAKE_TIMEOUT_S, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotMake(f"mmdebstrap: {done.stderr.strip().splitlines()[-1:]}")
    for old in CACHE.glob("root-*.tar"):
        if old != new:
            old.unlink()
    new.replace(archive)
    return archive


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME="))


def scripts_of(deb: Path) -> list[str]:
    """Return a package's maintainer scripts."""
    listed = subprocess.run(["dpkg-deb", "--info", deb], check=True, capture_output=True, text=True, timeout=60).stdout
    return [script for script in ("preinst", "postinst", "prerm", "postrm") if f" {script} " in listed]


def rebuild(deb: Path, folder: Path, version: str, failing: str = "") -> Path:
    """Build a real package again under another version; its script ``failing``, if there is one, fails at its end."""
    tree, target = folder / "tree", folder / f"{version}{failing}.deb"
    shutil.rmtree(tree, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True, capture_output=True, timeout=120)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(f"Version: {version}\n" if line.startswith("Version:") else f"{line}\n" for line in lines)
    )
    if failing:
        script = tree / "DEBIAN" / failing
        shebang, _, text = script.read_text().partition("\n") if script.exists() else ("#!/bin/sh", "", "")
        script.write_text(f"{shebang}\n{FAILS_LATE}\n{text}" if "sh" in shebang else "#!/bin/sh\nexit 1\n")
        script.chmod(0o755)
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, target], check=True, capture_output=True, timeout=120)
    shutil.rmtree(tree)
    return target


class RealSubject:
    """One real package in the whole root; the vehicle is unwell as long as ``unwell`` exists."""

    faults = frozenset({Fault.NONE})

    def __init__(self, folder: Path, root: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.root, self.name = folder, root, name
        self.boot_id_file = folder / "boot_id"
        self.unwell = folder / "unwell"

    @property
    def health_check(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", '! test -e "$1"', "sh", str(self.unwell))

    def installer(self) -> Installer:
        return load("deb", Place(self.root, self.folder / "state"))

    def build(self, version: str, fault: Fault) -> Path:
        raise NotImplementedError

    def running(self) -> str | None:
        return debs.installed(self.root).get(self.name)

    def boot(self) -> None:
        raise NotImplementedError

    def full_disk(self) -> None:
        raise NotImplementedError


def look(root: Path) -> dict[str, str]:
    """Return what is in the root: packages with their state, and each file with mode, owner, size and content."""
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${binary:Package} ${Version} ${Status}\n"]
    told = subprocess.run(query, check=True, capture_output=True, text=True, timeout=60).stdout
    found = {f"package {line.split()[0]}": line for line in told.splitlines()}
    for path in _walk(root):
        state = path.lstat()
        content = ""
        if stat.S_ISLNK(state.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(state.st_mode):
            content = _content(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
        found[str(path.relative_to(root))] = f"{state.st_mode:o} {state.st_uid} {state.st_gid} {content}"
    return found


@functools.cache
def _content(path: Path, state: tuple[int, ...]) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        inside = Path(folder).relative_to(root)
        names[:] = [name for name in names if str(inside / name) not in VOLATILE]
        yield from (Path(folder) / name for name in [*names, *files] if str(inside / name) not in VOLATILE)


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what is not as it was."""
    names = sorted({*before, *after})
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]
