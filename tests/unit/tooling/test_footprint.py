"""An idle vehicle is light: the modules that a child process loads are few, and none of the backend's."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sota.cli.ending import SERVER_ONLY

ROOT = Path(__file__).parents[3]

HEAVY = {
    "cryptography", "joserfc", "securesystemslib", "boto3",  # signatures: loaded when there is one to check
    "click", "cyclopts", "rich", "wsgiref",  # command lines, and a web server that is not needed
    "sqlalchemy", "alembic", "asyncmy", "aiosqlite", "argon2", "jinja2", "obstore", "lark", "re2", "pyarrow",
}  # fmt: skip
LOADED = "import sys, json, sota.cli.vehicle_parts, sota.cli.launch; print(json.dumps(sorted(sys.modules)))"
AS_IN_A_VEHICLE = """
import sys
from sota.cli.ending import SERVER_ONLY
for name in SERVER_ONLY:
    sys.modules[name] = None
sys.argv = ["sota", *sys.argv[1:]]
from sota.cli.main import main
main()
"""
WITHOUT_UVLOOP = """
import sys, asyncio
sys.modules["uvloop"] = None
from sota.cli import launch
print(launch.loop_runner() is asyncio.run)
"""


def python(code: str) -> str:
    run = subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True, timeout=60)
    return run.stdout.strip()


def in_a_vehicle(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", AS_IN_A_VEHICLE, *arguments)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_a_vehicle_that_waits_has_loaded_nothing_heavy() -> None:
    loaded = {name.split(".")[0] for name in json.loads(python(LOADED))}
    assert loaded & HEAVY == set()


def test_parts_of_libraries_that_are_not_used_are_left_out_and_can_still_be_had() -> None:
    assert python(
        "import sota.kit.runtime.metrics as m, sys; print('http.server' in sys.modules, len(m.exposition()) > 99)"
    ) == ("False True")


def test_a_vehicle_needs_no_uvloop() -> None:
    assert python(WITHOUT_UVLOOP) == "True"


@pytest.mark.parametrize(
    "command", [("up",), ("web",), ("core",), ("resolver",), ("db", "--help"), ("users", "list"), ("demo", "--once")]
)
def test_a_command_of_the_backend_says_in_a_vehicle_what_it_lacks(command: tuple[str, ...]) -> None:
    done = in_a_vehicle(*command)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "is missing): sota[server]" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("vehicle", "--help"),
        ("fleet", "--help"),
        ("rvi-node", "--show-settings"),
        ("slm", "--set", "vin=WVW00000000000001", "--show-settings"),
        ("client", "--set", "vin=WVW00000000000001", "--show-settings"),
        ("identity", "--help"),
        ("keys", "--help"),
        ("ctl", "packages", "build", "--help"),
        ("whitelist", "WL-B10-1"),
    ],
)
def test_what_a_vehicle_and_its_workshop_need_works_without_the_backend(command: tuple[str, ...]) -> None:
    done = in_a_vehicle(*command)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_of_what_only_the_backend_has_are_those_of_its_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    server = {Requirement(line).name for line in extras["server"]} - {"websockets"}  # a vehicle may have it
    imported = {name for name, distributions in packages_distributions().items() if server & set(distributions)}
    assert {name for name in imported if "." not in name and not name.startswith("_")} <= SERVER_ONLY | {"multipart"}
