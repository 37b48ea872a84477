"""The live table of ``sota fleet``, on standard error: one line a second without a terminal."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sota.fleet.counts import Snapshot

WINDOW_S = 5.0
LINE_EVERY_S = 1.0
BAR, BAR_WIDTH = "█", 30


class Screen:
    """Shows snapshots; rates are those of the last seconds."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console, self._title = console or Console(stderr=True), title
        self._live: Live | None = None
        self._seen: deque[tuple[float, int, int]] = deque()
        self._said_at = 0.0
        self._said = ""

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Update the table in place while the block lasts."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4) as self._live:
            yield

    def show(self, now: Snapshot) -> None:
        """Show the fleet's progress."""
        moment = time.monotonic()
        self._seen.append((moment, now.payload_bytes, now.over))
        while moment - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        if self._live is not None:
            self._live.update(self._table(now))
        elif moment - self._said_at >= LINE_EVERY_S:
            line = self._line(now)
            if line != self._said:
                self.say(line)
            self._said_at, self._said = moment, line

    def _rates(self) -> tuple[float, float]:
        (begin, bytes_before, over_before), (end, bytes_now, over_now) = self._seen[0], self._seen[-1]
        passed = max(end - begin, 0.001)
        return (bytes_now - bytes_before) / passed / 1e6, (over_now - over_before) / passed

    def _table(self, now: Snapshot) -> Table:
        """Arrange everything from top to bottom: it fits into any terminal."""
        mb_per_s, per_s = self._rates()
        table = Table(title=self._title, title_justify="left")
        table.add_column("stage", no_wrap=True)
        table.add_column("vehicles", justify="right")
        table.add_column("", width=BAR_WIDTH)
        for stage, count in now.stages.items():
            table.add_row(str(stage), str(count), BAR * round(BAR_WIDTH * count / now.vehicles))
        table.add_section()
        table.add_row("connected", str(now.connected), BAR * round(BAR_WIDTH * now.connected / now.vehicles))
        for reason, count in sorted(now.failures.items()):
            table.add_row(f"… {reason}", str(count), "")
        table.caption = f"{now.elapsed_s:.0f} s, {mb_per_s:.1f} MB/s, {per_s:.1f} vehicles/s"
        table.caption_justify = "left"
        return table

    def _line(self, now: Snapshot) -> str:
        stages = ", ".join(f"{count} {stage}" for stage, count in now.stages.items() if count)
        mb_per_s, per_s = self._rates()
        return f"{now.connected} connected; {stages}; {mb_per_s:.1f} MB/s, {per_s:.1f} vehicles/s"
