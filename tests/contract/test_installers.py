"""Every installer of ours against the contract that is shipped for all installers (src/sota/slm/contract).

``make test`` plays two losses of power or program for an installer of whole systems, ``make faults`` all of them, and
before and after every single write.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from sota.slm.contract import CASES, NotApplicable, Testbed
from tests.support.installer_matrix import entries
from tests.support.matrix_table import Entry
from tests.support.slm_subjects import (
    ArchiveSubject,
    CommandSubject,
    DebSubject,
    RaucSubject,
    SubjectOnDisk,
    SwupdateSubject,
    small_disk,
)
from tests.support.thorough import IS_THOROUGH, sample

SUBJECTS: tuple[type[SubjectOnDisk], ...] = (
    DebSubject,
    ArchiveSubject,
    CommandSubject,
    RaucSubject,
    SwupdateSubject,
)
LOSSES = [name for name in CASES if name.startswith(("power_loss", "kill"))]
# Every trial writes a whole system: half a minute for some cases.
SLOW_SUBJECTS = {RaucSubject: 2, SwupdateSubject: 2}


def cases_of(subject: type[SubjectOnDisk]) -> list[str]:
    """List the cases for an installer: all of them, or a sample of the losses where these are slow."""
    losses = sample(LOSSES, SLOW_SUBJECTS.get(subject, len(LOSSES)), of=subject.installer_name)
    return [case for case in CASES if case in losses or case not in LOSSES]


PLAYED = [
    pytest.param(subject, case, id=f"{subject.installer_name}-{case}")
    for subject in SUBJECTS
    for case in cases_of(subject)
]


@pytest.mark.parametrize(("subject", "case"), PLAYED)
async def test_installer_keeps_the_contract(
    subject: type[SubjectOnDisk], case: str, tmp_path: Path, matrix: list[Entry]
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        try:
            prepared = subject(tmp_path, disk=disk if case == "full_disk" else None)
            with contextlib.closing(prepared):
                testbed = Testbed(tmp_path, prepared, thorough=IS_THOROUGH)
                try:
                    await CASES[case](testbed)
                finally:
                    matrix += entries(subject.installer_name, testbed)
        except NotApplicable as reason:
            pytest.skip(f"{case} of {subject.installer_name}: {reason}")
