"""What dpkg refuses, and the result code that the report has for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.values import Reason
from sota.slm.model import ResultCode
from tests.support import debs
from tests.support.deb_workshop import DebWorkshop, codes

pytestmark = pytest.mark.anyio

OTHER = {
    "depends": {"Depends": "nothing"},
    "pre-depends": {"Pre-Depends": "nothing"},
    "conflicts": {"Conflicts": "other"},
    "breaks": {"Breaks": "other (<< 2)"},
}
HELD = {"conflicts": {"Conflicts": "ivi (>= 2)"}, "breaks": {"Breaks": "ivi (>= 2)"}}


@pytest.mark.parametrize("relation", OTHER)
async def test_relation_of_the_package_that_does_not_hold_is_a_dependency(relation: str, tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "other", "1.0.0"))

    report = await workshop.update(debs.build(tmp_path, "ivi", "1.0.0", fields=OTHER[relation]))

    assert codes(report)[0] == ("install", ResultCode.DEPENDENCY_FAILURE)
    assert (codes(report)[-1], report.reason) == (("verify", ResultCode.DEPENDENCY_FAILURE), Reason.DEPENDENCY)
    assert workshop.states() == {"other": "ii 1.0.0"}


@pytest.mark.parametrize("relation", HELD)
async def test_relation_of_an_installed_package_that_would_not_hold_is_a_dependency(
    relation: str, tmp_path: Path
) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(
        debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "other", "1.0.0", fields=HELD[relation])
    )

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert codes(report)[0] == ("install", ResultCode.DEPENDENCY_FAILURE)
    assert codes(report)[-1] == ("verify", ResultCode.DEPENDENCY_FAILURE)
    assert workshop.states() == {"ivi": "ii 1.0.0", "other": "ii 1.0.0"}
