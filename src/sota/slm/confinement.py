"""Confines what the packages of a simulated vehicle run, so that they cannot affect the machine that simulates it.

A vehicle whose root is ``/`` is a real one: its packages' maintainer scripts run in it unconfined. If the root is a
folder, the machine around it is not the vehicle's. There each installer step that runs a package's programs runs in
bubblewrap (``bwrap``):

* ``/`` is the vehicle's root, so an absolute path leads into the vehicle or nowhere. If the root contains a complete
  system (a shell and dpkg), that system's programs run. Otherwise ``/usr``, ``/bin``, ``/sbin``, ``/lib*`` and
  ``/etc/alternatives`` are the machine's, read-only, and the vehicle's own files stay reachable below ``INSIDE``.
* Processes, network, IPC, host name and cgroups are in the step's own namespaces: it cannot see or signal a host
  process or reach an abstract socket. They end with the step, including a daemon that a script started.
* ``/run``, ``/tmp``, ``/sys`` and ``/dev`` are new. For root the device nodes are copies, because the owner of a node
  could change the mode of the bound original. The writable parts of ``/proc`` are read-only.
* Of root's capabilities only those remain that the owner of files needs. Nothing can be mounted, no device created, and
  no program gains rights (``no_new_privs``).
* A filter (``call_filter.py``) refuses the calls for key rings, which belong to no namespace.

An ordinary user gets this through a user namespace with one user. Every change of an owner would fail there; the filter
answers these calls with success, and all files stay that user's.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sota.kit.files.durable import write_atomic
from sota.slm.call_filter import call_filter

INSIDE = Path("/run/sota/root")
"""The vehicle's root again, for dpkg: below ``/usr`` the machine's own files may hide the vehicle's."""
FILES = Path("/run/sota/files")
OURS = ("var/log", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "var/lib/dpkg/updates", "var/lib/dpkg/status")
"""What this program itself reads and writes."""
PROBE_TIMEOUT_S = 30.0
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
PROGRAM_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
MADE_FOLDERS = ("dev", "proc", "run", "sys", "tmp")
PROC_FILES = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "driver", "mtrr", "scsi")
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
MEMORY_DEVICES = 1
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
# Standard input is an empty pipe: through /proc/self/fd/0 its owner could change the mode of the machine's /dev/null.
LAUNCH = 'exec "$@" <<END\nEND\n'
LAUNCH_FILTERED = 'filter=$1; shift; exec "$@" 3<"$filter" <<END\nEND\n'
WAY_OUT = "Install the Debian package bubblewrap (apt install bubblewrap)"


class Confinement:
    """Confines commands to the vehicle's ``root``; ``state`` is this program's folder outside it."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self._state = state
        self._works = False

    @property
    def needed(self) -> bool:
        """Whether the vehicle's root is a folder of another machine."""
        return self.root != Path("/")

    @property
    def is_whole(self) -> bool:
        """Whether the root contains a complete system, with its own shell and dpkg."""
        return all((self.root / program).exists() for program in ("bin/sh", "usr/bin/dpkg"))

    def why_not(self) -> str:
        """Return why this machine cannot confine commands, empty if it can. A success is cached."""
        if not self._works:
            if self._program is None:
                return f"bubblewrap is not installed. {WAY_OUT}."
            why = self._why_not_prepared() or self._probe()
            if why:
                return why
            self._works = True
        return self.misleading_link()

    def command(self, arguments: Sequence[str], files: Sequence[Path] = ()) -> tuple[str, ...]:
        """Return the command line that runs ``arguments`` confined; :meth:`file_inside` returns the paths of ``files``.

        Call it only if :meth:`why_not` returns nothing.
        """
        launch: Sequence[str] = ("/bin/sh", "-c", LAUNCH, "sh")
        own: list[str] = []
        if self._filter.exists():
            launch = ("/bin/sh", "-c", LAUNCH_FILTERED, "sh", str(self._filter))
            own += ["--seccomp", "3"]
        if os.geteuid() != 0:
            own += ["--unshare-user", "--uid", "0", "--gid", "0"]
        for kind in ("ipc", "pid", "net", "uts", "cgroup-try"):
            own.append(f"--unshare-{kind}")
        own += ["--die-with-parent", "--chdir", "/", "--cap-drop", "ALL"]
        for capability in CAPABILITIES:
            own += ["--cap-add", f"CAP_{capability}"]
        shown = [f for file in files for f in ("--ro-bind", str(file), self.file_inside(file))]
        return (*launch, self._program or "bwrap", *own, *self._mounts(), *shown, "--", *arguments)

    def file_inside(self, file: Path) -> str:
        """Return the path of one of a command's files as the confined command sees it."""
        return str(FILES / file.name)

    def _mounts(self) -> list[str]:
        mounts = ["--bind", str(self.root), "/"]
        if not self.is_whole:
            for name in PROGRAM_FOLDERS:
                if Path("/", name).exists() and not (self.root / name).is_symlink():
                    mounts += ["--ro-bind", f"/{name}", f"/{name}"]
            mounts += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
        mounts += ["--proc", "/proc"]
        for name in PROC_FILES:
            if Path("/proc", name).exists():
                mounts += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
        for name in ("dev", "sys", "run"):
            mounts += ["--tmpfs", f"/{name}"]
        mounts += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - a path inside
        for name in DEVICES:
            node = self._node(name) if os.geteuid() == 0 else Path("/dev", name)
            mounts += ["--dev-bind", str(node), f"/dev/{name}"]
        for name, target in DEVICE_LINKS.items():
            mounts += ["--symlink", target, f"/dev/{name}"]
        mounts += ["--perms", "1777", "--dir", "/dev/shm", "--dir", "/run/lock"]  # noqa: S108 - a path inside
        return [*mounts, "--bind", str(self.root), str(INSIDE)]

    @property
    def _program(self) -> str | None:
        return shutil.which("bwrap")

    @property
    def _filter(self) -> Path:
        return self._state / "calls.bpf"

    def _node(self, name: str) -> Path:
        return self._state / "dev" / name

    def _why_not_prepared(self) -> str:
        """Create device nodes and filter; return why that is not possible."""
        try:
            for folder in (self.root, self._state):
                folder.mkdir(parents=True, exist_ok=True)
            content = call_filter(os.uname().machine, keep_owners=os.geteuid() != 0)
            if content:
                write_atomic(self._filter, content, mode=0o600)
            if os.geteuid() != 0:
                return ""
            self._node("null").parent.mkdir(mode=0o700, exist_ok=True)
            for name, minor in DEVICES.items():
                self._make_node(self._node(name), os.makedev(MEMORY_DEVICES, minor))
        except OSError as error:
            return f"what confinement needs cannot be created: {error.filename}: {error.strerror}."
        return ""

    def _make_node(self, node: Path, device: int) -> None:
        found = node.lstat() if node.exists() or node.is_symlink() else None
        if found is not None and not (stat.S_ISCHR(found.st_mode) and found.st_rdev == device):
            node.unlink()
            found = None
        if found is None:
            os.mknod(node, stat.S_IFCHR | 0o666, device)
        node.chmod(0o666)  # the umask or a script may have cleared some bits

    def _probe(self) -> str:
        """Run a trivial command confined, and return why that failed."""
        command = self.command(["/bin/sh", "-c", ": > /dev/null"])
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=PROBE_TIMEOUT_S, check=False, env={}
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap cannot be run: {error}."
        if done.returncode == 0:
            return ""
        return f"bubblewrap cannot confine commands here: {done.stderr.strip()[:300] or done.returncode}."

    def misleading_link(self) -> str:
        """Return which folder of the root, on which confinement mounts, is a link: it could redirect the mount."""
        if not self.needed:
            return ""
        names = MADE_FOLDERS if self.is_whole else (*MADE_FOLDERS, "etc")
        for name in names:
            if (self.root / name).is_symlink():
                return f"/{name} of the vehicle's root is a link."
        return next((f"/{name} leads out of the vehicle's root." for name in OURS if leads_out(self.root, name)), "")


def leads_out(root: Path, path: str | Path) -> bool:
    """Report whether a path below ``root`` is outside, because of a link.

    A confined command may leave any link behind, and this program writes below the root unconfined.
    """
    return not (root / path).resolve().is_relative_to(root.resolve())
