"""A vehicle that waits is light: what it has loaded, in a process of its own, and without what a backend has."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "cryptography", "joserfc", "securesystemslib", "boto3",  # signatures: loaded when there is one to check
    "click", "cyclopts", "rich", "wsgiref",  # command lines, and a web server that nobody asked for
    "sqlalchemy", "alembic", "asyncmy", "aiosqlite", "argon2", "jinja2", "obstore", "lark", "re2", "pyarrow",
}  # fmt: skip
LOADED = "import sys, json, sota.cli.vehicle_parts, sota.cli.launch; print(json.dumps(sorted(sys.modules)))"
WITHOUT_UVLOOP = """
import sys, asyncio
sys.modules["uvloop"] = None
from sota.cli import launch
print(launch.loop_runner() is asyncio.run)
"""


def python(code: str) -> str:
    run = subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True, timeout=60)
    return run.stdout.strip()


def test_a_vehicle_that_waits_has_loaded_nothing_heavy() -> None:
    loaded = {name.split(".")[0] for name in json.loads(python(LOADED))}
    assert loaded & HEAVY == set()


def test_parts_of_libraries_that_nobody_uses_are_left_out_and_can_still_be_had() -> None:
    assert python(
        "import sota.kit.metrics as m, sys; print('http.server' in sys.modules, len(m.exposition()) > 99)"
    ) == ("False True")


def test_a_vehicle_needs_no_uvloop() -> None:
    assert python(WITHOUT_UVLOOP) == "True"
