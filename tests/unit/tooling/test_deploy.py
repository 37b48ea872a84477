"""The examples in deploy/ fit the programs: settings exist, secrets are handed over, units are hardened."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sota.cli.main import COMMANDS
from sota.kit.runtime.settings import Settings, load

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KINDS = {
    "web": ("sota.web.settings", "WebSettings"),
    "core": ("sota.core.settings", "CoreSettings"),
    "resolver": ("sota.resolver.settings", "ResolverSettings"),
    "rvi_node": ("sota.rvi.settings", "NodeSettings"),
    "client": ("sota.client.settings", "ClientSettings"),
    "slm": ("sota.slm.settings", "SlmSettings"),
}
HANDED_OVER = re.compile(r"/run/credentials/([\w-]+\.service)/([\w-]+)")
HARDENING = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "SystemCallFilter=@system-service",
)


def document(name: str) -> dict[str, Any]:
    return tomllib.loads((DEPLOY / name).read_text())


def tables() -> Iterator[tuple[str, str]]:
    for name in ("sota.toml", "vehicle.toml"):
        yield from ((name, table) for table in document(name))


def directives(unit: Path, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


@pytest.mark.parametrize(("name", "table"), list(tables()), ids=lambda value: value)
def test_table_loads_as_the_settings_of_its_program(name: str, table: str) -> None:
    module, kind_name = KINDS[table]
    kind = getattr(importlib.import_module(module), kind_name)
    settings = load(kind, table, file=DEPLOY / name, environment={})
    assert isinstance(settings, Settings)
    # A list in TOML is a tuple in the settings; all else is as it is written.
    written = {
        key: list(value) if isinstance(value, list) else str(value) for key, value in document(name)[table].items()
    }
    loaded = {key: getattr(settings, key) for key in written}
    assert {k: list(v) if isinstance(v, tuple) else str(v) for k, v in loaded.items()} == written


def test_every_program_has_a_table_and_a_unit() -> None:
    assert {table for _, table in tables()} == set(KINDS)
    assert {unit.stem for unit in UNITS} == {f"sota-{table.replace('_', '-')}" for table in KINDS}


@pytest.mark.parametrize("name", ["sota.toml", "vehicle.toml"])
def test_secrets_that_settings_name_are_handed_over_by_the_unit(name: str) -> None:
    named = HANDED_OVER.findall((DEPLOY / name).read_text())
    loaded = {
        (unit.name, credential.partition(":")[0]) for unit in UNITS for credential in directives(unit, "LoadCredential")
    }
    assert named
    of_examples = {"console-key", "tls-key"}  # in comments: a unit that loads what is not there does not start
    assert [pair for pair in named if pair not in loaded and pair[1] not in of_examples] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_is_hardened_and_runs_its_program(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert [line for line in HARDENING if line not in lines] == []
    (command,) = directives(unit, "ExecStart")
    name, _, config = command.split()[1:]
    assert (f"sota-{name}", name in COMMANDS) == (unit.stem, True)
    assert name.replace("-", "_") in document(Path(config).name)
    assert directives(unit, "StateDirectory") == [f"sota/{name}"]
    assert directives(unit, "User") == [unit.stem]


def test_every_unit_s_user_is_made() -> None:
    made = (DEPLOY / "systemd" / "sota.sysusers.conf").read_text()
    assert [unit.stem for unit in UNITS if not re.search(rf"^u {unit.stem} ", made, re.MULTILINE)] == []


@pytest.mark.parametrize("name", ["web", "core", "resolver"])
def test_unit_is_started_again_for_as_long_as_its_database_is_away(name: str) -> None:
    unit = DEPLOY / "systemd" / f"sota-{name}.service"
    module, kind_name = KINDS[name]
    settings = load(
        getattr(importlib.import_module(module), kind_name), name, file=DEPLOY / "sota.toml", environment={}
    )
    interval, burst, pause = (
        int(directives(unit, key)[0]) for key in ("StartLimitIntervalSec", "StartLimitBurst", "RestartSec")
    )
    assert interval / (settings.database_wait_s + pause) < burst
