"""The demo's output: steps, a progress bar for each vehicle, the final table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from sota.boundaries.b2_web_core.messages import Update


@dataclass(slots=True)
class Row:
    """One vehicle at the end, from its own package database and from Core."""

    vin: str
    before: dict[str, str]
    after: dict[str, str]
    core: dict[str, str]
    status: str
    what: str
    seconds: float | None = None
    order: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether Core and the vehicle's own database agree."""
        return self.core == self.after


class Screen:
    """Writes to the terminal; without one (a pipe, CI) each change is a line."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.fields[vin]}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TextColumn("{task.fields[state]:<28}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def step(self, text: str) -> None:
        """Print what is done now."""
        self.console.print(f"[bold]·[/bold] {text}", highlight=False, soft_wrap=True)

    def show(self, updates: Iterable[Update], notes: dict[str, str]) -> None:
        """Show each vehicle's progress; ``notes`` says what else is known about one (offline)."""
        for update in updates:
            state = describe(update)
            if update.vin in notes and update.status in ("pending", "in_flight"):
                state = notes[update.vin]
            task = self._tasks.get(update.vin)
            if task is None:
                task = self._tasks[update.vin] = self.progress.add_task("", vin=update.vin, state=state)
            self.progress.update(task, total=update.size or None, completed=update.acknowledged, state=state)
            if update.status.is_final:
                self.progress.stop_task(task)
            if not self.console.is_terminal and self._said.get(update.vin) != state:
                self.console.print(f"  {update.vin}  {state}", highlight=False)
            self._said[update.vin] = state

    def finish(self, rows: list[Row]) -> None:
        """Print the table."""
        table = Table(
            Column("VIN", no_wrap=True),
            "before",
            "after",
            "what happened",
            "time",
            title="Verified from each vehicle's own package database",
        )
        for row in rows:
            seconds = f"{row.seconds:.1f} s" if row.seconds is not None else ""
            disagreement = "" if row.agrees else f"\n[red]Core says {row.core}[/red]"
            table.add_row(row.vin, _lines(row.before), _lines(row.after), row.what + disagreement, seconds)
        self.console.print(table)


def describe(update: Update) -> str:
    """Describe an update's state."""
    if update.status == "in_flight" and update.stage is not None:
        return str(update.stage.value)
    if update.reason is not None:
        return f"{update.status.value}: {update.reason.value}"
    return str(update.status.value)


def as_document(rows: list[Row], *, seconds: float) -> dict[str, object]:
    """Return the table for ``--json``."""
    return {"seconds": round(seconds, 2), "vehicles": [{**asdict(row), "agrees": row.agrees} for row in rows]}


def _lines(packages: dict[str, str]) -> str:
    return "\n".join(f"{name} {version}" for name, version in sorted(packages.items()))
