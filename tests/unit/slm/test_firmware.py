"""What a vehicle's command may print of its firmware."""

from __future__ import annotations

import pytest

from sota.slm.firmware import MAX_MODULES, decode, read_firmware
from sota.slm.installers import InstallerFailed


async def test_vehicle_without_a_command_has_none() -> None:
    assert await read_firmware(()) == []


async def test_command_that_fails_tells_nothing() -> None:
    with pytest.raises(InstallerFailed, match="exited with 3: no bus"):
        await read_firmware(("/bin/sh", "-c", "echo '[]'; echo no bus >&2; exit 3"))


@pytest.mark.parametrize(
    "output",
    [
        "",
        "gateway 4.2",
        "{}",
        '[{"module": "gateway"}]',
        '[{"module": "", "version": "1"}]',
        '[{"module": "a\\u0000", "version": "1"}]',
        '[{"module": "a", "version": "1"}, {"module": "a", "version": "2"}]',
        '[{"module": "a", "version": "1", "changed_at": "yesterday"}]',
        "[" * 100_000,
        "[" + ",".join(f'{{"module": "m{n}", "version": "1"}}' for n in range(MAX_MODULES + 1)) + "]",
        "\ud800",
    ],
)
def test_what_is_no_list_of_different_modules_is_not_believed(output: str) -> None:
    with pytest.raises(InstallerFailed, match="firmware"):
        decode(output)
