"""RAUC and SWUpdate for real: what they must refuse, with the old system running on and the truth in the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.values import Command, Reason
from sota.kit.errors import StartError
from sota.slm.contract import Fault, NotApplicable, Testbed
from sota.slm.installers import Capability, Place
from sota.slm.installers.loading import load
from sota.slm.model import ResultCode
from tests.support.rauc_system import make_dated_key, make_key
from tests.support.slm_subjects import RaucSubject, SwupdateSubject, system_image

pytestmark = pytest.mark.anyio


@pytest.fixture
def rauc(tmp_path: Path) -> Iterator[RaucSubject]:
    try:
        subject = RaucSubject(tmp_path)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    with contextlib.closing(subject):
        yield subject


async def try_to_install(testbed: Testbed, file: Path) -> InstallReport:
    await testbed.offer("2.0.0", Command.INSTALL, file)
    return await testbed.carry_out()


def assert_refused(testbed: Testbed, report: InstallReport, *words: str) -> None:
    assert (report.status, report.running_version, testbed.subject.running()) == ("failed", "1.0.0", "1.0.0")
    assert report.reason is Reason.VERIFICATION_FAILED
    (operation,) = report.operations
    assert (operation.id, operation.result_code) == ("verify", ResultCode.VALIDATION_FAILED)
    for word in words:
        assert word in operation.result_text


async def test_bundle_signed_by_a_stranger_is_refused(rauc: RaucSubject, tmp_path: Path) -> None:
    testbed = Testbed(tmp_path, rauc)
    await testbed.install("1.0.0")
    stranger = make_key(tmp_path, "stranger")
    bundle = rauc.system.bundle("2.0.0", system_image("2.0.0", Fault.NONE), signed_by=stranger)
    assert_refused(testbed, await try_to_install(testbed, bundle), "The bundle was refused", "its signature")


@pytest.mark.parametrize(
    ("begins", "ends", "told"), [(2010, 2011, "expired on 2011-01-01"), (2090, 2091, "is valid only from 2090-01-01")]
)
async def test_refusal_of_a_bundle_names_the_validity_of_its_certificate_and_the_clock(
    rauc: RaucSubject, tmp_path: Path, begins: int, ends: int, told: str
) -> None:
    testbed = Testbed(tmp_path, rauc)
    await testbed.install("1.0.0")
    dates = (datetime(begins, 1, 1, tzinfo=UTC), datetime(ends, 1, 1, tzinfo=UTC))
    dated = make_dated_key(tmp_path, "dated", *dates)
    bundle = rauc.system.bundle("2.0.0", system_image("2.0.0", Fault.NONE), signed_by=dated)
    assert_refused(testbed, await try_to_install(testbed, bundle), told, "this vehicle's clock says")


async def test_bundle_for_another_vehicle_is_refused(rauc: RaucSubject, tmp_path: Path) -> None:
    testbed = Testbed(tmp_path, rauc)
    await testbed.install("1.0.0")
    bundle = rauc.system.bundle("2.0.0", system_image("2.0.0", Fault.NONE), compatible="Test Lorry")
    assert_refused(testbed, await try_to_install(testbed, bundle), "for 'Test Lorry', this vehicle is 'Test Car'")


async def test_bundle_of_another_version_than_its_package_is_refused(rauc: RaucSubject, tmp_path: Path) -> None:
    testbed = Testbed(tmp_path, rauc)
    await testbed.install("1.0.0")
    bundle = rauc.system.bundle("9.0.0", system_image("9.0.0", Fault.NONE))
    assert_refused(testbed, await try_to_install(testbed, bundle), "version '9.0.0', not 2.0.0")


async def test_system_of_the_factory_is_gone_back_to(rauc: RaucSubject, tmp_path: Path) -> None:
    factory = Place(rauc.root, tmp_path / "state", {**rauc.options(), "factory_version": "factory"})
    rauc.installer = lambda: load("rauc", factory)  # type: ignore[method-assign]
    testbed = Testbed(tmp_path, rauc)
    report = await testbed.install("1.0.0", Fault.UNHEALTHY)
    assert (report.status, report.reason, report.running_version) == ("failed", Reason.ROLLED_BACK, "factory")
    assert rauc.system.booted == "A"


async def test_bus_that_is_away_is_an_installer_that_fails(tmp_path: Path) -> None:
    installer = load("rauc", Place(tmp_path, tmp_path, {"address": f"unix:path={tmp_path}/nothing"}))
    assert Capability.NEEDS_BOOT in installer.capabilities
    with pytest.raises(Exception, match=r"RAUC's bus .* cannot be reached"):
        await installer.find("system")
    with pytest.raises(Exception, match=r"RAUC's bus .* cannot be reached"):
        await installer.wait_until_free(1)


async def test_image_signed_by_a_stranger_is_refused(tmp_path: Path) -> None:
    subject = SwupdateSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")
    stranger = make_key(tmp_path, "stranger")
    image = subject.system.image("2.0.0", system_image("2.0.0", Fault.NONE), signed_by=stranger)
    assert_refused(testbed, await try_to_install(testbed, image), "The image was refused")


async def test_image_for_other_hardware_is_refused(tmp_path: Path) -> None:
    subject = SwupdateSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")
    image = subject.system.image("2.0.0", system_image("2.0.0", Fault.NONE), hardware="2.0")
    assert_refused(testbed, await try_to_install(testbed, image), "SW not compatible with hardware")


@pytest.mark.parametrize("version", ["1.9.9", "2.0.1"])
async def test_image_of_another_version_than_its_package_is_refused(tmp_path: Path, version: str) -> None:
    subject = SwupdateSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")
    image = subject.system.image(version, system_image(version, Fault.NONE))
    assert_refused(testbed, await try_to_install(testbed, image), "The image was refused")


async def test_slot_that_the_options_do_not_name_stops_everything(tmp_path: Path) -> None:
    subject = SwupdateSubject(tmp_path)
    (subject.system.folder / "booted").write_text("c\n")
    with pytest.raises(Exception, match="does not print a slot: 'c"):
        await subject.installer().find("system")


def test_options_are_read_strictly(tmp_path: Path) -> None:
    options = SwupdateSubject(tmp_path).options()
    with pytest.raises(StartError, match=r"activate needs \{slot\}"):
        load("swupdate", Place(tmp_path, tmp_path, {**options, "activate": ["true"]}))
    with pytest.raises(StartError, match="options of installer 'swupdate'"):
        load("swupdate", Place(tmp_path, tmp_path, {**options, "slots": {"a": "stable,a"}}))
    with pytest.raises(StartError, match="options of installer 'rauc'"):
        load("rauc", Place(tmp_path, tmp_path, {"bus": "x"}))
