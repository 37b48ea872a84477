"""Runs the tools that build foreign formats, so that the same input gives the same output."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sota.kit.errors import StartError

TOOL_TIMEOUT_S = 3600.0
EPOCH = 0
"""The timestamp of everything in a package."""
WHERE = {"dpkg-deb": "dpkg", "rauc": "rauc", "mksquashfs": "squashfs-tools", "cpio": "cpio", "openssl": "openssl"}


class ToolFailed(StartError):
    """A tool failed, with its own error text."""


def run(*arguments: str | Path, folder: Path, stdin: bytes | None = None) -> bytes:
    """Run a tool in a folder; return what it printed.

    Raises:
        StartError: it is not installed or does not end.
        ToolFailed: it fails.
    """
    name = str(arguments[0])
    if shutil.which(name) is None:
        raise StartError(f"{name} is needed for this kind of package: install the Debian package {WHERE[name]}")
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(EPOCH)}
    try:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            cwd=folder,
            env=environment,
            input=b"" if stdin is None else stdin,
            capture_output=True,
            timeout=TOOL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartError(f"{name} did not end within {TOOL_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ToolFailed(f"{name} failed: {said[-2000:]}")
    return done.stdout


def copy_tree(source: Path, target: Path, root: Path | None = None) -> None:
    """Copy a folder with fixed modes and times; only the executable bit is kept.

    Raises:
        StartError: it contains something other than folders, files and links that stay inside.
    """
    root = root or source
    target.mkdir(exist_ok=True)
    target.chmod(0o755)
    for entry in sorted(source.iterdir()):
        copied = target / entry.name
        if entry.is_symlink():
            aim = entry.readlink()
            if aim.is_absolute() or not Path(os.path.normpath(entry.parent / aim)).is_relative_to(root):
                raise StartError(f"{entry} is a link that leads outside of {root}")
            copied.symlink_to(aim)
        elif entry.is_dir():
            copy_tree(entry, copied, root)
        elif entry.is_file():
            shutil.copyfile(entry, copied)
            copied.chmod(0o755 if entry.stat().st_mode & 0o111 else 0o644)
        else:
            raise StartError(f"{entry} is neither a file, nor a folder, nor a link")
        os.utime(copied, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(target, (EPOCH, EPOCH))
