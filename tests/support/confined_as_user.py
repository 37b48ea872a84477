"""Runs a script confined, as another user: ``python -m tests.support.confined_as_user UID ROOT STATE SCRIPT``.

The user is taken on after all imports, because it may not be able to read the program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sota.slm.confinement import FILES, Confinement

CANNOT = 77


def main(user: int, root: Path, state: Path, script: Path) -> int:
    """Run the script; its output is ours. Returns its exit code, and ``CANNOT`` where nothing can be confined."""
    if os.geteuid() == 0 and user != 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    confinement = Confinement(root, state)
    if why := confinement.why_not():
        print(why)
        return CANNOT
    command = confinement.command(["/bin/sh", str(FILES / script.name)], [script])
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, stderr=subprocess.STDOUT, timeout=120, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *map(Path, sys.argv[2:])))
