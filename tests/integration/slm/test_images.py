"""Update images in a vehicle: several packages in one file, in order, with what follows a failure."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.package_signature import make_key_pair
from sota.boundaries.update_image.manifest import Action
from tests.support import debs
from tests.support.images import build, install
from tests.support.processes import kill_all_in
from tests.support.slm_subjects import write_archive
from tests.support.vehicle import PlayedCore, Vehicle, notify, running_vehicle, vehicle_on_disk
from tests.support.vehicle_processes import as_process
from tests.support.waiting import until

BREAK = 'echo "the display does not answer" >&2; exit 3'
COUNT = 'echo "$DPKG_MAINTSCRIPT_PACKAGE" >> "$DPKG_ROOT/count"'
COMMANDS = {
    "flash": (sys.executable, "-c", "import sys; print('flashing', sys.argv[1:])", "{unit}", "{file}"),
    "stop_components": ("/bin/sh", "-c", "echo cannot stop; exit 1"),
}


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with running_vehicle(
        tmp_path, slm_installers=("deb", "archive"), slm_image_commands=COMMANDS, slm_health_check=()
    ) as running:
        yield running


async def send(vehicle: Vehicle, file: Path, version: str = "1.0.0", index: int = 1) -> dict[str, Any]:
    offer = vehicle.offer(index, "spring", version, file, installer="image")
    core = PlayedCore(vehicle.node, offer)
    await vehicle.node.tell("notify", notify(offer))
    await core.run_until_reported(index)
    return core.reports[index]


def codes(report: dict[str, Any]) -> dict[str, int]:
    return {each["id"]: each["result_code"] for each in report["operations"]}


def archive(folder: Path, version: str) -> Path:
    file = folder / f"maps-{version}.tar.xz"
    write_archive(file, {"version": f"{version}\n".encode()}, "w:xz")
    return file


def deb(folder: Path, name: str, version: str, **more: Any) -> Path:
    return debs.build(folder / "debs", name, version, **more)


async def test_operations_are_done_in_order_and_reported(vehicle: Vehicle, tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.bin"
    gateway.write_bytes(b"firmware")
    run = {"operation": "run", "id": "gateway", "action": "flash", "arguments": {"unit": "gw0"}}
    image = build(
        tmp_path,
        vehicle.key,
        "spring",
        "1.0.0",
        [
            install("libnav", "1.1.0", deb(tmp_path, "libnav", "1.1.0", postinst=COUNT)),
            install("ivi", "2.0.0", deb(tmp_path, "ivi", "2.0.0", depends="libnav (>= 1.1.0)", postinst=COUNT)),
            install("maps", "5.0.0", archive(tmp_path, "5.0.0"), installer="archive"),
            (run, gateway),
        ],
    )

    report = await send(vehicle, image)

    assert (report["status"], report["running_version"]) == ("installed", "1.0.0")
    assert codes(report) == {"libnav": 0, "ivi": 0, "maps": 0, "gateway": 0, "verify": 0}
    assert debs.installed(vehicle.root) == {"libnav": "1.1.0", "ivi": "2.0.0"}
    assert (vehicle.root / "count").read_text() == "libnav\nivi\n"
    assert (vehicle.root / "opt/archives/maps/current/version").read_text() == "5.0.0\n"
    flashed = next(each for each in report["operations"] if each["id"] == "gateway")
    assert "flashing ['gw0', '/" in flashed["result_text"]
    listed = (await vehicle.call_slm("GET", "/v1/packages")).body.decode()
    assert '{"name":"spring","version":"1.0.0"}' in listed
    assert not any((vehicle.slm_settings.data / "taken-out").iterdir())


async def test_image_that_the_vehicle_has_changes_nothing(vehicle: Vehicle, tmp_path: Path) -> None:
    image = build(
        tmp_path,
        vehicle.key,
        "spring",
        "1.0.0",
        [install("ivi", "2.0.0", deb(tmp_path, "ivi", "2.0.0", postinst=COUNT))],
    )
    await send(vehicle, image)

    report = await send(vehicle, image, index=2)

    assert report["status"] == "installed"
    assert codes(report) == {"ivi": 1, "verify": 1}
    assert (vehicle.root / "count").read_text() == "ivi\n"


async def test_rollback_takes_everything_back(vehicle: Vehicle, tmp_path: Path) -> None:
    first = build(
        tmp_path,
        vehicle.key,
        "spring",
        "1.0.0",
        [
            install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0")),
            install("maps", "4.0.0", archive(tmp_path, "4.0.0"), installer="archive"),
            install("old", "1.0.0", deb(tmp_path, "old", "1.0.0")),
        ],
    )
    await send(vehicle, first)
    remove = {
        "operation": "remove", "id": "old", "installer": "deb", "package": {"name": "old", "version": "1.0.0"}
    }  # fmt: skip
    second = build(
        tmp_path,
        vehicle.key,
        "spring",
        "2.0.0",
        [
            install("ivi", "2.0.0", deb(tmp_path, "ivi", "2.0.0")),
            install("maps", "5.0.0", archive(tmp_path, "5.0.0"), installer="archive"),
            install("new", "1.0.0", deb(tmp_path, "new", "1.0.0")),
            (remove, None),
            install("radio", "1.0.0", deb(tmp_path, "radio", "1.0.0", postinst=BREAK)),
            install("never", "1.0.0", deb(tmp_path, "never", "1.0.0")),
        ],
    )

    report = await send(vehicle, second, "2.0.0", index=2)

    assert (report["status"], report["reason"]) == ("failed", "rolled_back")
    assert report["running_version"] == "1.0.0"
    assert codes(report) == {
        "ivi": 0, "maps": 0, "new": 0, "old": 0, "radio": 4,
        "undo:old": 0, "undo:new": 0, "undo:maps": 0, "undo:ivi": 0, "verify": 4,
    }  # fmt: skip
    assert "the display does not answer" in next(e for e in report["operations"] if e["id"] == "radio")["result_text"]
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0", "old": "1.0.0"}
    assert (vehicle.root / "opt/archives/maps/current/version").read_text() == "4.0.0\n"


async def test_abort_leaves_what_was_done_and_says_so(vehicle: Vehicle, tmp_path: Path) -> None:
    image = build(
        tmp_path,
        vehicle.key,
        "spring",
        "1.0.0",
        [
            install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0")),
            install("radio", "1.0.0", deb(tmp_path, "radio", "1.0.0", postinst=BREAK), on_failure="abort"),
            install("never", "1.0.0", deb(tmp_path, "never", "1.0.0")),
        ],
    )

    report = await send(vehicle, image)

    assert (report["status"], report["reason"]) == ("failed", "install_failed")
    assert codes(report) == {"ivi": 0, "radio": 4, "verify": 4}
    assert "still there: ivi" in report["operations"][-1]["result_text"]
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_continue_goes_on_and_a_retry_does_not_call_the_failure_a_success(
    vehicle: Vehicle, tmp_path: Path
) -> None:
    stop = {"operation": "run", "id": "stop", "action": "stop_components", "on_failure": "continue"}
    broken = install("radio", "1.0.0", deb(tmp_path, "radio", "1.0.0", postinst=BREAK), on_failure="continue")
    image = build(
        tmp_path,
        vehicle.key,
        "spring",
        "1.0.0",
        [(stop, None), broken, install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0"))],
    )

    for index in (1, 2):
        report = await send(vehicle, image, index=index)

        assert report["status"] == "installed"
        assert codes(report) == {"stop": 19, "radio": 4, "ivi": index - 1, "verify": 0}
        assert "failed, and allowed to: stop, radio" in report["operations"][-1]["result_text"]


async def test_images_that_cannot_be_trusted_change_nothing(vehicle: Vehicle, tmp_path: Path) -> None:
    good = [install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0"))]
    undeclared = {"operation": "run", "id": "x", "action": "delete_partition"}
    cases = {
        "No trusted key": build(tmp_path / "1", make_key_pair(tmp_path / "other"), "spring", "1.0.0", good),
        "not signed": build(tmp_path / "2", None, "spring", "1.0.0", good),
        "not spring/1.0.0": build(tmp_path / "3", vehicle.key, "summer", "1.0.0", good),
        "no command to delete_partition": build(
            tmp_path / "4", vehicle.key, "spring", "1.0.0", [*good, (undeclared, None)]
        ),
        "no installer 'rauc'": build(
            tmp_path / "5", vehicle.key, "spring", "1.0.0",
            [install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0"), installer="rauc")],
        ),
    }  # fmt: skip
    for index, (text, image) in enumerate(cases.items(), start=1):
        report = await send(vehicle, image, index=index)

        assert (report["status"], report["reason"]) == ("failed", "verification_failed")
        assert text in report["operations"][-1]["result_text"]
        assert codes(report) == {"verify": 3}
    assert debs.installed(vehicle.root) == {}


async def test_blacklisted_older_and_impossible_operations_have_their_codes(vehicle: Vehicle, tmp_path: Path) -> None:
    await send(
        vehicle,
        build(tmp_path, vehicle.key, "spring", "1.0.0", [install("ivi", "2.0.0", deb(tmp_path, "ivi", "2.0.0"))]),
    )
    blacklist = [{"name": "ivi", "installer": "deb"}]
    remove = {
        "operation": "remove", "id": "gone", "installer": "deb", "on_failure": "continue",
        "package": {"name": "ivi", "version": "7.0.0"},
    }  # fmt: skip
    image = build(
        tmp_path,
        vehicle.key,
        "spring",
        "2.0.0",
        [
            install("b", "1.0.0", deb(tmp_path, "b", "1.0.0"), blacklist=blacklist, on_failure="continue"),
            install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0"), on_failure="continue"),
            install("c", "1.0.0", deb(tmp_path, "another", "1.0.0"), on_failure="continue"),
            (remove, None),
            install("d", "1.0.0", deb(tmp_path, "d", "1.0.0", depends="missing"), on_failure="continue"),
        ],
    )

    report = await send(vehicle, image, "2.0.0", index=2)

    assert codes(report) == {"b": 14, "ivi": 17, "c": 3, "gone": 16, "d": 2, "verify": 0}


async def test_each_action_that_fails_has_its_own_code_and_its_output(tmp_path: Path) -> None:
    failing = {str(action): ("/bin/sh", "-c", f"echo {action} does not work >&2; exit 5") for action in Action}
    async with running_vehicle(tmp_path, slm_image_commands=failing) as vehicle:
        operations: list[tuple[dict[str, Any], Path | None]] = [
            ({"operation": "run", "id": f"op{number}", "action": action, "on_failure": "continue"}, None)
            for number, action in enumerate(Action)
        ]

        report = await send(vehicle, build(tmp_path, vehicle.key, "spring", "1.0.0", operations))

        told = [(each["result_code"], each["result_text"]) for each in report["operations"][:-1]]
        assert [code for code, _ in told] == [7, 8, 9, 10, 11, 12, 19, 19]
        assert [text for _, text in told] == [f"{action} does not work" for action in Action]


async def test_failing_health_check_takes_the_image_back(tmp_path: Path) -> None:
    check = (
        "/bin/sh",
        "-c",
        'echo looking at $SOTA_PACKAGE; ! grep -q 2 "$1"',
        "sh",
        str(tmp_path / "root/opt/ivi/version"),
    )
    async with running_vehicle(tmp_path, slm_health_check=check) as vehicle:
        operations = [install("ivi", "1.0.0", deb(tmp_path, "ivi", "1.0.0"))]
        assert (await send(vehicle, build(tmp_path, vehicle.key, "spring", "1.0.0", operations)))[
            "status"
        ] == "installed"
        operations = [install("ivi", "2.0.0", deb(tmp_path, "ivi", "2.0.0"))]

        report = await send(vehicle, build(tmp_path, vehicle.key, "spring", "2.0.0", operations), "2.0.0", index=2)

        assert (report["status"], report["reason"]) == ("failed", "rolled_back")
        assert codes(report) == {"ivi": 0, "health:check": 19, "undo:ivi": 0, "verify": 19}
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_image_goes_on_after_a_power_loss_with_nothing_done_twice(tmp_path: Path) -> None:
    slow = 'echo begun >> "$DPKG_ROOT/count"; sleep 1; echo ended >> "$DPKG_ROOT/count"'
    async with vehicle_on_disk(tmp_path) as vehicle:
        slm = as_process("slm", vehicle.slm_settings, vehicle.folder)
        slm.start()
        await vehicle.start_client()
        image = build(
            tmp_path,
            vehicle.key,
            "spring",
            "1.0.0",
            [
                install("a", "1.0.0", deb(tmp_path, "a", "1.0.0", postinst=COUNT)),
                install("b", "1.0.0", deb(tmp_path, "b", "1.0.0", postinst=slow)),
                install("c", "1.0.0", deb(tmp_path, "c", "1.0.0", postinst=COUNT)),
            ],
        )
        sending = asyncio.create_task(send(vehicle, image))

        async def began() -> bool:
            with contextlib.suppress(OSError):
                return "begun" in (vehicle.root / "count").read_text()
            return False

        try:
            await until(began, "the second operation to begin")
            slm.kill()
            kill_all_in(vehicle.root)
            slm.start()
            report = await sending
        finally:
            await slm.stop()

        assert report["status"] == "installed"
        assert codes(report) == {"a": 0, "b": 0, "c": 0, "verify": 0}
        assert (vehicle.root / "count").read_text().split() == ["a", "begun", "begun", "ended", "c"]
