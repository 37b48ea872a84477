"""Packages whose every maintainer script tries to reach the machine around a simulated vehicle, and witnesses of that.

Everything that a script attacks is a witness that the test made: code that confines nothing harms those alone.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from tests.support import debs

SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
REACHED = "REACHED"

# Each attack that comes through prints what it reached. Sockets need more than a shell: perl-base is always there.
ATTACK = r"""
echo "RAN $(basename "$0" | sed 's/.*[.]//') $1"
reached() { echo "REACHED $1"; }
quiet() { "$@" >/dev/null 2>&1; }
for way in "" /proc/1/root /proc/$PPID/root /proc/@PID@/root /proc/@PID@/cwd /proc/self/cwd/../../../../../../../..; do
    ( echo touched >> "$way@FOLDER@/kept" ) 2>/dev/null && reached "a file by '$way'"
    quiet rm "$way@FOLDER@/$(basename "$0").victim" && reached "the removal of a file by '$way'"
    ( : > "$way@FOLDER@/new-$$" ) 2>/dev/null && reached "a new file by '$way'"
done
quiet kill -0 @PID@ && reached "a process: $(cat /proc/@PID@/comm)"
quiet kill -9 @PID@
quiet mount -t tmpfs none "@FOLDER@" && reached "a mount"
quiet mount --bind / "${DPKG_ROOT:-}/mnt" && reached "a bind mount"
quiet mount -o remount,rw,bind /usr && reached "a remount"
quiet mknod "${DPKG_ROOT:-}/disk-$$" b 8 0 && reached "a block device"
quiet mknod "${DPKG_ROOT:-}/node-$$" c 1 3 && reached "a character device"
quiet unshare --user --map-root-user --mount mount --bind /tmp /usr && : # its own namespace is its own affair
( cat /proc/sys/kernel/core_uses_pid > /proc/sys/kernel/core_uses_pid ) 2>/dev/null && reached "a kernel parameter"
perl -MSocket -e '
    my %ways = ("a socket in the file system" => [AF_UNIX, pack_sockaddr_un($ARGV[0])],
                "an abstract socket" => [AF_UNIX, pack_sockaddr_un("\0" . $ARGV[1])],
                "the network" => [AF_INET, pack_sockaddr_in($ARGV[2], INADDR_LOOPBACK)]);
    for my $way (keys %ways) {
        socket(my $socket, $ways{$way}[0], SOCK_STREAM, 0);
        print "REACHED $way\n" if connect($socket, $ways{$way}[1]);
    }
    use POSIX qw(uname);
    my %keyctl = (x86_64 => 250, aarch64 => 219);
    my $number = $keyctl{(uname())[4]};
    print "REACHED the keys of the user\n" if $number && syscall($number, 0, -4, 0) >= 0;
    print "TRIED the sockets\n"' "@FOLDER@/socket" "@ABSTRACT@" "@PORT@"
grep -q "^NoNewPrivs:.1" /proc/self/status || reached "programs with the rights of their owners"
[ "$(stat -c %i /dev/null)" != "@NULL@" ] || [ "$(stat -c %u /dev/null)" != 0 ] || reached "the device node /dev/null"
[ "$(stat -L -c %d:%i /proc/self/fd/0)" != "@NULL_FILE@" ] || reached "the device node of the standard input"
(setsid sh -c 'sleep 3; echo late >> "@FOLDER@/kept"' >/dev/null 2>&1 &)
"""


class Witnesses:
    """Files, sockets and a process in ``folder``; ``changes`` reports what happened to them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "kept").write_text("untouched\n")
        for script in SCRIPTS:
            (folder / f"{script}.victim").write_text("untouched\n")
            (folder / f"ivi.{script}.victim").write_text("untouched\n")
        self._process = subprocess.Popen(["sleep", "600"], cwd=folder)
        self._abstract = f"sota-witness-{os.getpid()}-{id(self)}"
        self._callers: list[str] = []
        in_file = socket.socket(socket.AF_UNIX)
        in_file.bind(str(folder / "socket"))
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0{self._abstract}")
        network = socket.create_server(("127.0.0.1", 0))
        self._port = network.getsockname()[1]
        self._listeners = {"socket file": in_file, "abstract socket": abstract, "network": network}
        for name, listener in self._listeners.items():
            listener.listen()
            threading.Thread(target=self._note_callers, args=(name, listener), daemon=True).start()
        self._before = self._look()

    def __enter__(self) -> Witnesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._process.kill()
        self._process.wait()
        while os.path.ismount(self.folder):
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True, timeout=30)

    @property
    def attack(self) -> str:
        """The text of a script that attacks these witnesses."""
        null = Path("/dev/null").stat()
        values = {
            "FOLDER": str(self.folder),
            "PID": str(self._process.pid),
            "ABSTRACT": self._abstract,
            "PORT": str(self._port),
            "NULL": str(null.st_ino),
            "NULL_FILE": f"{null.st_dev}:{null.st_ino}",
        }
        text = ATTACK
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def build(self, folder: Path, version: str, *, failing: str = "") -> Path:
        """Build a package whose every script attacks, and of which one may fail then."""
        scripts = {script: self.attack + ("exit 1\n" if script == failing else "exit 0\n") for script in SCRIPTS}
        return debs.build(folder, "ivi", version, scripts=scripts)

    def changes(self) -> list[str]:
        """Return what is not as it was."""
        found = self._look()
        told = [name for name in sorted({*found, *self._before}) if found.get(name) != self._before.get(name)]
        return [*told, *(f"a caller at the {name}" for name in self._callers)]

    def _look(self) -> dict[str, str]:
        found = {str(path): _state(path) for path in (self.folder, *self.folder.rglob("*"))}
        found["process"] = str(self._process.poll())
        found["mount"] = str(os.path.ismount(self.folder))
        return found

    def _note_callers(self, name: str, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._callers.append(name)
            connection.close()


def _state(path: Path) -> str:
    state = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{state.st_mode:o} {state.st_uid} {state.st_gid} {state.st_mtime_ns} {content}"
