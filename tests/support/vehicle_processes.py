"""One program of a vehicle as a process of its own, which a test can kill, while the test runs the other one itself."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sota.kit.runtime.settings import Settings
from tests.support.processes import ProgramProcess


def as_process(program: str, settings: Settings, folder: Path) -> ProgramProcess:
    """Prepare ``sota <program>`` with these settings; the test starts it."""
    file = folder / f"{program}.config.toml"
    lines = [f"[{program}]"]
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if value is None:
            continue  # TOML has no word for it, and it is the default
        text = msgspec.json.encode(
            value, enc_hook=str
        ).decode()  # a TOML value is written as in JSON, for what is used here
        lines.append(f"{field.name} = {text}")
    file.write_text("\n".join(lines) + "\n")
    return ProgramProcess(program, [program, "--config", str(file)], folder / f"{program}.log")
