"""What comes back when a Debian package fails: everything that was there before, as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import debs
from tests.support.deb_workshop import BREAK, DebWorkshop, codes

pytestmark = pytest.mark.anyio


@pytest.fixture
def workshop(tmp_path: Path) -> DebWorkshop:
    return DebWorkshop(tmp_path)


async def test_factory_package_with_files_in_bin_comes_back_on_merged_usr(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    (workshop.root / "usr/bin").mkdir(parents=True)
    (workshop.root / "bin").symlink_to("usr/bin")
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={"/bin/ivi": "one\n"}))

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0", files={"/bin/ivi": "two\n"}, postinst=BREAK))

    assert (report.reason, workshop.states()) == ("rolled_back", {"ivi": "ii 1.0.0"})
    assert workshop.read("/usr/bin/ivi") == "one\n"
    assert (workshop.root / "bin").is_symlink()


async def test_links_of_the_vehicle_are_followed_inside_its_root_only(workshop: DebWorkshop, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={f"{outside}/ivi": "one\n"}))
    (outside / "ivi").write_text("the host's\n")
    inside = workshop.root / str(outside).lstrip("/")
    inside.rename(workshop.root / "moved")
    inside.symlink_to("/moved")
    await workshop.subject.installer().save("ivi", tmp_path / "saved.deb")
    debs.install(tmp_path / "other", tmp_path / "saved.deb")
    assert (tmp_path / "other" / str(outside).lstrip("/") / "ivi").read_text() == "one\n"


async def test_diverted_file_comes_back_as_itself_and_not_as_what_stands_in_its_place(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    first = debs.build(tmp_path, "ivi", "1.0.0", files={"/usr/bin/ivi": "one\n"})
    workshop.furnish(first)
    divert = "dpkg-divert --package wrapper --add --rename --divert /usr/bin/ivi.real /usr/bin/ivi"
    preinst = {"preinst": f'DPKG_ADMINDIR="$DPKG_ADMINDIR" {divert}'}
    workshop.furnish(debs.build(tmp_path, "wrapper", "1.0.0", files={"/usr/bin/ivi": "wrapped\n"}, scripts=preinst))
    assert workshop.read("/usr/bin/ivi.real") == "one\n"

    second = debs.build(tmp_path, "ivi", "2.0.0", files={"/usr/bin/ivi": "two\n"}, postinst=BREAK)
    report = await workshop.update(second)

    assert report.reason == "rolled_back"
    assert (workshop.read("/usr/bin/ivi"), workshop.read("/usr/bin/ivi.real")) == ("wrapped\n", "one\n")


CONF = "/etc/ivi.conf"


def configured(folder: Path, version: str, postinst: str = "") -> Path:
    return debs.build(folder, "ivi", version, files={CONF: f"of {version}\n"}, conffiles=[CONF], postinst=postinst)


async def test_configuration_changed_in_the_vehicle_survives_a_failed_update_and_a_later_good_one(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(configured(tmp_path, "1.0.0"))
    (workshop.root / CONF.lstrip("/")).write_text("the owner's\n")

    failed = await workshop.update(configured(tmp_path, "2.0.0", postinst=BREAK))
    assert (failed.reason, workshop.states()) == ("rolled_back", {"ivi": "ii 1.0.0"})
    assert workshop.read(CONF) == "the owner's\n"

    good = await workshop.update(configured(tmp_path, "3.0.0"))
    assert (good.status, workshop.read(CONF)) == ("installed", "the owner's\n")


async def test_unchanged_configuration_comes_back_and_is_the_new_ones_later(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(configured(tmp_path, "1.0.0"))

    await workshop.update(configured(tmp_path, "2.0.0", postinst=BREAK))
    assert workshop.read(CONF) == "of 1.0.0\n"

    good = await workshop.update(configured(tmp_path, "3.0.0"))
    assert (codes(good)[-1], workshop.read(CONF)) == (("verify", 0), "of 3.0.0\n")


async def test_links_that_a_script_leaves_bring_nothing_of_the_host_into_the_vehicle(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host\n")
    workshop.furnish(configured(tmp_path, "1.0.0"))
    conf, templates = workshop.root / CONF.lstrip("/"), workshop.database / "info/ivi.templates"
    conf.unlink()
    for link in (conf, templates):
        link.symlink_to(secret)

    report = await workshop.update(configured(tmp_path, "2.0.0", postinst=BREAK))

    assert report.status == "failed"
    found = [file for folder in (workshop.root, workshop.kept) for file in folder.rglob("*") if file.is_file()]
    assert [file for file in found if not file.is_symlink() and b"of the host" in file.read_bytes()] == []
    assert secret.read_text() == "of the host\n"


async def test_kept_file_goes_when_its_package_goes(workshop: DebWorkshop, tmp_path: Path) -> None:
    await workshop.update(debs.build(tmp_path, "nav", "1.0.0"))
    await workshop.update(debs.build(tmp_path, "ivi", "1.0.0"))
    await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))
    assert workshop.kept_files() == ["ivi_2.0.0.deb", "nav_1.0.0.deb"]

    assert (await workshop.remove("ivi", "2.0.0")).status == "installed"
    assert workshop.kept_files() == ["nav_1.0.0.deb"]

    workshop.dpkg("--purge", "nav")
    await workshop.update(debs.build(tmp_path, "ivi", "3.0.0"))
    assert workshop.kept_files() == ["ivi_3.0.0.deb"]
