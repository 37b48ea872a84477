"""What SWUpdate's output says of an installation: only the installing process knows, and its first word is it."""

from __future__ import annotations

import pytest

from sota.slm.installers.swupdate_slots import says_success

STARTED = """SWUpdate v

Licensed under GPLv2. See source distribution for detailed copyright notices.

[INFO ] : SWUPDATE started :  Software Update started !
"""
DONE = STARTED + "[INFO ] : SWUPDATE successful ! SWUPDATE successful !\n"
WAITING = "[INFO ] : No SWUPDATE running :  Waiting for requests...\n"
GIVEN_UP = "[ERROR] : SWUPDATE failed [0] ERROR : SWUpdate *failed* !\n"
DAMAGED = "[ERROR] : SWUPDATE failed [0] ERROR : Image invalid or corrupted. Not installing ...\n"


@pytest.mark.parametrize(
    ("output", "success"),
    [
        (DONE + WAITING, True),
        (DONE + WAITING + GIVEN_UP, True),
        (STARTED + DAMAGED + WAITING, False),
        (STARTED + DAMAGED + DONE, False),
        (STARTED + GIVEN_UP, False),
        (STARTED, False),
        ("", False),
        (STARTED + "[TRACE] : SWUPDATE running : [script] : [INFO ] : SWUPDATE successful !\n", False),
    ],
)
def test_only_the_installing_process_is_believed(output: str, success: bool) -> None:
    assert says_success(output) is success
