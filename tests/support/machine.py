"""What a machine may not have that some tests need, and what was left untested for want of it."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

LACKS = "NOT ON THIS MACHINE: "
"""Begins the reason of a skip that another machine would not have; tests/conftest.py says those loudly at the end."""
LOOP_CTL_GET_FREE = 0x4C82


@functools.cache
def why_no_mount() -> str | None:
    """Return why nothing can be mounted here; None where it can."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        except OSError as error:
            return f"mount: {error.strerror}"
        if done.returncode != 0:
            return done.stderr.strip().splitlines()[0] if done.stderr.strip() else "mount fails"
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True, timeout=30)
    return None


@functools.cache
def why_no_loop_device() -> str | None:
    """Return why a file cannot be mounted through a loop device here; None where it can."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR)
        try:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        finally:
            os.close(control)
        os.close(os.open(f"/dev/loop{number}", os.O_RDWR))
    except OSError as error:
        return f"{error.filename or '/dev/loop-control'}: {error.strerror}"
    return why_no_mount()


@functools.cache
def why_no_confinement() -> str | None:
    """Return why a simulated vehicle's packages cannot be confined here; None where they can."""
    from sota.slm.confinement import Confinement  # here, so that these tests' support loads beside older code too

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        return Confinement(root, Path(folder) / "state").why_not() or None


@functools.cache
def why_no_network_namespace() -> str | None:
    """Return why no network namespace can be made here; None where it can."""
    command = ["unshare", "--map-root-user", "--net", "true"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    except OSError as error:
        return f"unshare: {error.strerror}"
    return None if done.returncode == 0 else done.stderr.strip() or "unshare fails"


@functools.cache
def why_no_real_packages() -> str | None:
    """Return why a whole Debian cannot be made and worked with in a folder here; None where it can."""
    if os.geteuid() != 0:
        return "its files have many owners: run the tests as root"
    missing = [program for program in ("mmdebstrap", "dpkg-deb", "tar") if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else why_no_confinement()


@functools.cache
def faketime_library() -> Path | None:
    """Return the library that gives a program another clock; None where this machine has none."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def left_untested(skips: Iterable[str]) -> list[str]:
    """Count the skipped tests by the reasons that lie in the machine."""
    reasons = Counter(text[text.index(LACKS) + len(LACKS) :] for text in skips if LACKS in text)
    return [f"{number} {'test' if number == 1 else 'tests'}: {reason}" for reason, number in reasons.most_common()]
