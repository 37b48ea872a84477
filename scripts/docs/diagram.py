"""Mermaid flowcharts as text: each connection in a line, ``Web Browser → Web Server (B1)``."""

from __future__ import annotations

import re
from collections.abc import Iterator

NODE = r"(\w+)(?:\[\(?([^\])]+)\)?\])?"
EDGE = re.compile(rf"^\s*{NODE} (<?)--(?: (.+?) --)?> {NODE}\s*$")


def connections(chart: str) -> Iterator[str]:
    """Yield a line for each connection of a flowchart."""
    found = [match.groups() for line in chart.splitlines() if (match := EDGE.match(line))]
    labels: dict[str, str] = {}
    for source, source_label, _, _, target, target_label in found:
        labels.update({name: label for name, label in ((source, source_label), (target, target_label)) if label})
    for source, _, back, text, target, _ in found:
        arrow = "↔" if back else "→"
        line = f"{labels.get(source, source)} {arrow} {labels.get(target, target)}"
        yield f"{line} ({text})" if text else line
