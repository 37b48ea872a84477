"""Installers are found by their names, and called only for what they support."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sota.boundaries.values import Command
from sota.kit.errors import StartError
from sota.slm.installers import BadPackage, InstallerFailed, Place, ask
from sota.slm.installers.loading import load
from sota.slm.model import Health, Job, Step
from sota.slm.program import load_installers
from sota.slm.settings import SlmSettings

UNIT = {
    "packages": ["gateway"],
    "query": ["/bin/echo", "1.0.0"],
    "install": ["/usr/bin/flash", "{file}", "v={version}"],
}
JOB = Job("gateway", "2.0.0", Command.INSTALL, "1.0.0", can_restore=True)


def place(folder: Path, **options: Any) -> Place:
    return Place(folder, folder, options)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("nothing", {}, "there is no installer 'nothing'"),
        ("../deb", {}, "is not the name of an installer"),
        ("os", {}, "there is no installer 'os'"),
        ("archive_files", {}, "has no function make"),
        ("deb", {"root": "/"}, "unknown field `root`"),
        ("archive", {"max_bytes": 0}, "max_bytes"),
        ("command", {}, "units"),
        ("command", {"units": {"a": UNIT, "b": UNIT}}, "gateway belongs to two units"),
        ("command", {"units": {"a": {**UNIT, "install": ["flash", "{secret}"]}}}, "has {secret}, and may have {file}"),
        ("command", {"units": {"a": {**UNIT, "remove": ["erase", "{file}"]}}}, "remove of unit 'a' has {file}"),
        ("command", {"units": {"a": {**UNIT, "shell": True}}}, "unknown field `shell`"),
    ],
)
def test_what_does_not_fit_is_told_at_the_start(name: str, options: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(StartError) as error:
        load(name, place(tmp_path, **options))
    assert text in str(error.value)


def test_options_of_an_installer_that_is_not_there_are_a_slip(tmp_path: Path) -> None:
    settings = SlmSettings(vin="WVW00000000000001", root=tmp_path, options={"archiv": {}})
    with pytest.raises(StartError, match="options for archiv"):
        load_installers(settings)


async def test_command_lines_are_the_vehicles_own(tmp_path: Path) -> None:
    installer = load("command", place(tmp_path, units={"gateway": UNIT}))
    file, previous = Path("/arriving/1 $(reboot)"), Path("/kept/old")

    install = installer.command(Step.INSTALL, JOB, file, previous)
    assert install.arguments == ("/usr/bin/flash", "/arriving/1 $(reboot)", "v=2.0.0")
    assert installer.command(Step.RESTORE, JOB, file, previous).arguments == ("/usr/bin/flash", "/kept/old", "v=1.0.0")
    assert installer.command(Step.REMOVE, JOB, file, previous).arguments[-1] == (
        "this vehicle has no command to remove gateway"
    )
    assert (await installer.find("gateway")).version == "1.0.0"
    assert [package.text for package in await installer.list()] == ["gateway/1.0.0"]
    with pytest.raises(BadPackage, match="No unit of this vehicle takes radio"):
        await installer.inspect(file, "radio", "1.0.0")


@pytest.mark.parametrize(
    "query",
    [["/bin/false"], ["/bin/missing"], ["/bin/printf", "\\033[2J"], ["/bin/sh", "-c", "yes | head -c 20000000"]],
)
async def test_unit_that_cannot_tell_is_a_failure_and_not_an_absence(query: list[str], tmp_path: Path) -> None:
    installer = load("command", place(tmp_path, units={"gateway": {**UNIT, "query": query}}))
    with pytest.raises(InstallerFailed):
        await installer.find("gateway")


async def test_archive_that_cannot_be_read_is_a_failure_and_not_an_absence(tmp_path: Path) -> None:
    installer = load("archive", place(tmp_path))
    installer.prepare()
    unreadable = tmp_path / "opt/archives/ivi"
    unreadable.symlink_to(unreadable)  # a circle: the system refuses to follow it, for root as well
    with pytest.raises(InstallerFailed, match="cannot look ivi up"):
        await installer.find("ivi")
    assert (await installer.find("maps")).health is Health.ABSENT


async def test_question_without_an_answer_is_ended(tmp_path: Path) -> None:
    with pytest.raises(InstallerFailed, match="did not answer within"):
        await ask("/bin/sh", "-c", "sleep 60 & wait", environment={"PATH": "/bin"}, timeout_s=0.1)


def test_settings_take_tables_from_a_file() -> None:
    settings = msgspec.convert({"vin": "WVW00000000000001", "image_commands": {"flash": ["x"]}}, SlmSettings)
    assert list(settings.image_commands.values()) == [("x",)]
