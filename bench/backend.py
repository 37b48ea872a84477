"""The backend that is measured, or that something else is measured against: ``sota up`` on free ports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.processes import SOTA, free_ports


@dataclass(frozen=True, slots=True)
class BackendCommand:
    """The command line of a backend in one process, and the ports that are looked at."""

    command: tuple[str, ...]
    link_port: int
    operation_port: int


def backend_command(data: Path) -> BackendCommand:
    """Make a command line with free ports, keeping everything in ``data``."""
    names = ("http", "https", "core", "resolver", "edge", "link", "operation")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    command = (*SOTA, "up", "--data", str(data), "--log-level", "warning", *options)
    return BackendCommand(command, ports["link"], ports["operation"])
