"""Commands of a vehicle's settings whose program a package may have brought."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sota.boundaries.update_image.manifest import Action
from sota.kit.errors import StartError
from sota.slm.configured_commands import confine_configured_commands
from sota.slm.settings import SlmSettings
from tests.support.machine import LACKS, why_no_confinement

VIN = "WVWZZZ1KZ7W000011"


def program(root: Path, text: str) -> str:
    file = root / "opt/ivi/check"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_health_check_that_a_package_brought_runs_confined(tmp_path: Path) -> None:
    if why := why_no_confinement():
        pytest.skip(f"{LACKS}a simulated vehicle's packages cannot be confined ({why})")
    root, outside = tmp_path / "root", tmp_path / "outside"
    check = program(root, f'touch {outside}; echo "$0 $1"; test -e "$1"')
    settings = SlmSettings(vin=VIN, root=root, data=tmp_path / "data", health_check=(check, check, "word"))

    line = confine_configured_commands(settings).health_check

    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "/opt/ivi/check /opt/ivi/check\n"), done.stderr
    assert not outside.exists()


def test_command_of_the_machine_runs_as_it_is(tmp_path: Path) -> None:
    settings = SlmSettings(vin=VIN, root=tmp_path / "root", health_check=("/bin/sh", "-c", "true"), reboot=("reboot",))
    assert confine_configured_commands(settings) == settings


def test_command_of_a_real_vehicle_runs_as_it_is() -> None:
    settings = SlmSettings(vin=VIN, root=Path("/"), health_check=("/usr/bin/true",))
    assert confine_configured_commands(settings) == settings


@pytest.mark.parametrize("what", ["reboot", "image_commands", "unit"])
def test_command_that_works_with_files_may_not_lie_in_a_simulated_vehicle(tmp_path: Path, what: str) -> None:
    line = (program(tmp_path / "root", "true"), "{file}")
    unit = {"packages": ["ivi"], "query": [line[0]], "install": list(line)}
    settings = {
        "reboot": SlmSettings(vin=VIN, root=tmp_path / "root", reboot=line),
        "image_commands": SlmSettings(vin=VIN, root=tmp_path / "root", image_commands={Action.FLASH: line}),
        "unit": SlmSettings(vin=VIN, root=tmp_path / "root", options={"command": {"units": {"display": unit}}}),
    }[what]

    with pytest.raises(StartError, match="lies below the vehicle's root"):
        confine_configured_commands(settings)


def test_health_check_of_a_package_is_refused_where_nothing_can_be_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = SlmSettings(vin=VIN, root=tmp_path / "root", health_check=(program(tmp_path / "root", "true"),))
    with pytest.raises(StartError, match="apt install bubblewrap"):
        confine_configured_commands(settings)
