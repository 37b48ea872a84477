"""The contract's subjects change nothing that a step of theirs may be reading."""

from __future__ import annotations

from pathlib import Path

from tests.support.slm_subjects import CommandSubject


def test_program_of_a_unit_is_left_alone_while_a_step_may_read_it(tmp_path: Path) -> None:
    subject = CommandSubject(tmp_path)
    subject.installer()
    before = subject.folder.joinpath("flash.py").stat()

    subject.installer()

    after = subject.folder.joinpath("flash.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_boot_is_never_seen_half_counted(tmp_path: Path) -> None:
    subject = CommandSubject(tmp_path)
    with subject.boot_id_file.open() as read_before:
        subject.count_boot()
        assert read_before.read() == "1\n"
    assert subject.boot_id_file.read_text() == "11\n"
