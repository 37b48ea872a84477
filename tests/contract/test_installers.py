"""Every installer of ours against the contract that is shipped for everybody's (src/sota/slm/contract)."""

from __future__ import annotations

import contextlib
import os
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

THOROUGH = os.environ.get("THOROUGH") == "1"
"""``make faults`` sets it: the power goes before and after every single write."""
SUBJECTS = (DebSubject, ArchiveSubject, CommandSubject, RaucSubject, SwupdateSubject)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.installer_name)
async def test_installer_keeps_the_contract(
    subject: type[SubjectOnDisk], case: str, tmp_path: Path, matrix: list[Entry]
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        try:
            prepared = subject(tmp_path, disk=disk if case == "full_disk" else None)
            with contextlib.closing(prepared):
                testbed = Testbed(tmp_path, prepared, thorough=THOROUGH)
                try:
                    await CASES[case](testbed)
                finally:
                    matrix += entries(subject.installer_name, testbed)
        except NotApplicable as reason:
            pytest.skip(f"{case} of {subject.installer_name}: {reason}")
