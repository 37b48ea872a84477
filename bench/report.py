"""What a benchmark gives, how it is shown, and the file that keeps it.

``figures`` are measured values, ``ratios`` compare them with a limit or with the baseline of the same run, so that a
result can be judged on another machine. A result names the machine's kind and never the machine: no host, no path.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures and ratios by name, in the order in which they are shown. ``notes`` say in words how they came about.

    A quick look at less than the whole is not ``kept``: no file is written.
    """

    figures: dict[str, float]
    ratios: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kept: bool = True


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, kernel, Python."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_bytes // 1_000_000,
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
    }


def as_document(name: str, measurement: Measurement, at: datetime) -> dict[str, Any]:
    """Return the content of a result's file."""
    return {
        "name": name,
        "at": at.astimezone(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": {key: _rounded(value) for key, value in measurement.figures.items()},
        "ratios": {key: _rounded(value) for key, value in measurement.ratios.items()},
    }


def write(name: str, measurement: Measurement, folder: Path = RESULTS) -> Path:
    """Write ``NAME.json``; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.json"
    target.write_text(json.dumps(as_document(name, measurement, datetime.now(UTC)), indent=2) + "\n")
    return target


def show(name: str, measurement: Measurement) -> None:
    """Print the table."""
    table = Table("figure", "value", title=f"bench {name}", title_justify="left")
    table.columns[1].justify = "right"
    for key, value in measurement.figures.items():
        table.add_row(key, f"{_rounded(value):,}")
    if measurement.figures and measurement.ratios:
        table.add_section()
    for key, value in measurement.ratios.items():
        table.add_row(key, f"{_rounded(value):,}")
    console = Console()
    console.print(table)
    for note in measurement.notes:
        console.print(note, highlight=False)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()
