"""What became of the other packages: broken, changed, or as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sota.slm.installers.deb_record import Package, Record, compare, may_be_replaced, parse
from sota.slm.model import OtherPackages


def package(name: str, version: str = "1.0.0", status: str = "installed", **more: str) -> Package:
    return Package(name, "all", version, more.pop("want", "install"), status, "ok", **more)


@dataclass(frozen=True)
class Case:
    before: tuple[Package, ...]
    now: tuple[Package, ...]
    broken: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


IVI, IVI_2 = package("ivi", provides="ui (= 5)"), package("ivi", "2.0.0", provides="ui (= 6), screen")
CASES = {
    "nothing": Case((IVI, package("nav")), (IVI_2, package("nav"))),
    "removed": Case((IVI, package("nav")), (IVI_2,), changed=("nav 1.0.0 was removed",)),
    "its configuration stays": Case(
        (package("nav"),), (package("nav", status="config-files"),), changed=("nav 1.0.0 was removed",)
    ),
    "another version": Case(
        (IVI, package("nav")), (IVI_2, package("nav", "3.0.0")), changed=("nav 1.0.0 has version 3.0.0 now",)
    ),
    "half-configured": Case(
        (package("nav"),), (package("nav", status="half-configured"),), broken=("nav 1.0.0 is half-configured now",)
    ),
    "was broken before": Case((package("nav", status="unpacked"),), (package("nav", status="half-configured"),)),
    "new": Case((IVI,), (IVI_2, package("nav"))),
    "version": Case(
        (IVI, package("nav", depends="ivi (<< 2.0.0~), libc6")),
        (IVI_2, package("nav", depends="ivi (<< 2.0.0~), libc6")),
        broken=("nav 1.0.0 needs ivi (<< 2.0.0~)",),
    ),
    "pre-dependency": Case(
        (IVI, package("nav", pre_depends="ivi (= 1.0.0)")),
        (IVI_2, package("nav", pre_depends="ivi (= 1.0.0)")),
        broken=("nav 1.0.0 needs ivi (= 1.0.0)",),
    ),
    "provided version": Case(
        (IVI, package("nav", depends="ui (<= 5)")),
        (IVI_2, package("nav", depends="ui (<= 5)")),
        broken=("nav 1.0.0 needs ui (<= 5)",),
    ),
    "provided as before": Case(
        (IVI, package("nav", depends="ui (>= 5)")), (IVI_2, package("nav", depends="ui (>= 5)"))
    ),
    "alternative": Case(
        (IVI, package("nav", depends="ivi (<< 2) | radio"), package("radio")),
        (IVI_2, package("nav", depends="ivi (<< 2) | radio"), package("radio")),
    ),
    "did not hold before": Case(
        (IVI, package("nav", depends="ivi (>> 3)")), (IVI_2, package("nav", depends="ivi (>> 3)"))
    ),
    "what was renamed away is provided": Case(
        (package("old"), package("nav", depends="old")),
        (package("ivi", provides="old"), package("nav", depends="old")),
        changed=("old 1.0.0 was removed",),
    ),
    "qualified": Case(
        (IVI, package("nav", depends="ivi:any (>= 1)")), (IVI_2, package("nav", depends="ivi:any (>= 1)"))
    ),
}


def known(packages: tuple[Package, ...]) -> dict[str, Package]:
    return {each.key: each for each in packages}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_others_are_compared_with_how_they_were(case: Case, tmp_path: Path) -> None:
    found = compare("ivi", Record(known(case.before)), known(case.now), tmp_path, ())
    assert found == OtherPackages(case.broken, case.changed)


def test_package_that_is_replaced_next_may_be_without_its_dependency(tmp_path: Path) -> None:
    nav = package("nav", depends="ivi (<< 2)")
    record = Record(known((IVI, nav)))
    assert compare("ivi", record, known((IVI_2, nav)), tmp_path, {"nav"}) == OtherPackages()


def test_what_may_be_replaced_is_what_is_named_provided_or_not_wanted() -> None:
    packages = [IVI, package("old"), package("gone", status="config-files"), package("radio"), package("nav")]
    unwanted = package("unwanted", want="deinstall")
    found = may_be_replaced([*packages, unwanted], "nav", "old (<< 2), ui, gone, nav")
    assert [each.name for each in found] == ["ivi", "old", "unwanted"]


def test_what_dpkg_does_not_know_of_is_no_package() -> None:
    line = "ivi\tall\t1.0.0\tinstall\tinstalled\tok\t\t\tnav\n"
    assert parse(line + line.replace("ivi", "x").replace("\tinstalled", "\tnot-installed") + "broken\n") == {
        "ivi:all": package("ivi", depends="nav")
    }
