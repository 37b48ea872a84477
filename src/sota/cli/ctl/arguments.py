"""Arguments of several commands of ``sota ctl``, and how they are parsed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter, validators

from sota.boundaries.b2_web_core.messages import NewVehicle
from sota.boundaries.values import InstalledPackage, Interval, Message, PackageId
from sota.boundaries.wording import in_words
from sota.kit.errors import StartError

Body = TypeVar("Body", bound=Message)
# Words of a choice are written as the API writes them: in_flight, not in-flight.
AS_WRITTEN = Parameter(name_transform=lambda name: name.strip("_").lower().replace("-", "_"))
Switch = Annotated[bool, Parameter(negative=())]
BOM = "\ufeff"  # some editors put it before a file
# Both take - for standard input, which looks like an option.
Expression = Annotated[str, Parameter(allow_leading_hyphen=True)]
VinFile = Annotated[Path, Parameter(allow_leading_hyphen=True)]
Priority = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Most:
    """How much of a list to print."""

    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 100
    "Maximum number of items."
    all: Annotated[bool, Parameter(negative=())] = False
    "All items."

    @property
    def items(self) -> int | None:
        """The maximum number, or None for all."""
        return None if self.all else self.limit


MOST = Most()
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def body(kind: type[Body], **fields: object) -> Body:
    """Return a body with these fields.

    Raises:
        StartError: one is invalid; says what it must be.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise StartError(in_words(error)) from None


def read_package(text: str) -> PackageId:
    """Parse NAME/VERSION.

    Raises:
        StartError: it is invalid.
    """
    return _read_pair(text, PackageId, "ivi/2.1.0")


def read_span(text: str) -> timedelta:
    """Parse a duration: 90s, 45m, 12h, 14d, 2w.

    Raises:
        StartError: it is invalid.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise StartError(f"{text!r} is no length of time: write for example 90s, 45m, 12h, 14d or 2w")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class When:
    """When a package may be installed."""

    start: datetime | None = None
    "Earliest installation, in UTC unless another zone is given; the default is now."
    end: datetime | None = None
    "Latest installation."
    within: str | None = None
    "Instead of the end: a duration, for example 36h, 14d or 2w."

    def interval(self) -> Interval:
        """Return the interval.

        Raises:
            StartError: there is no end, or two, or it is before the start.
        """
        if (self.end is None) == (self.within is None):
            raise StartError("say until when: either --end or --within")
        begins = in_utc(self.start) if self.start is not None else datetime.now(UTC)
        ends = in_utc(self.end) if self.end is not None else begins + read_span(self.within or "")
        if ends <= begins:
            raise StartError(f"the end {ends:%Y-%m-%dT%H:%M:%SZ} is not after the start {begins:%Y-%m-%dT%H:%M:%SZ}")
        return Interval(start=begins, end=ends)


ANY_TIME = When()


def in_utc(moment: datetime) -> datetime:
    """Return a moment with its zone: UTC unless another one is given."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_installed(text: str) -> InstalledPackage:
    """Parse NAME/VERSION of an installed package, which may be foreign: any printable name and version.

    Raises:
        StartError: it is invalid.
    """
    return _read_pair(text, InstalledPackage, "libc6/2.36-9")


def _read_pair(text: str, kind: type[Body], example: str) -> Body:
    name, _, version = text.partition("/")
    try:
        return msgspec.convert({"name": name, "version": version}, kind)
    except msgspec.ValidationError:
        raise StartError(f"{text!r} is no package: write NAME/VERSION, for example {example}") from None


def read_attribute(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE.

    Raises:
        StartError: it is invalid.
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise StartError(f"{text!r} is no attribute: write NAME=VALUE")
    return name, value


def read_expression(text: str) -> str:
    """Return an expression as it was typed; for -, read it from standard input.

    Raises:
        StartError: standard input is not text.
    """
    if text != "-":
        return text
    try:
        return sys.stdin.read().removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise StartError(f"standard input: {error}") from None


def read_vins(file: Path) -> Iterator[str]:
    """Read VINs: one a line, or NDJSON with {"vin": …}; - is standard input.

    Raises:
        StartError: the file cannot be read, or a line is not a VIN.
    """
    try:
        text = (sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")).removeprefix(BOM)
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{file}: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content:
            continue
        try:
            written = content if content.startswith("{") else msgspec.json.encode({"vin": content})
            yield msgspec.json.decode(written, type=NewVehicle).vin
        except msgspec.DecodeError as error:
            raise StartError(f"{file}, line {number}: {in_words(error)}") from None


def confirm(question: str, *, yes: bool, option: str = "--yes") -> None:
    """Ask on the terminal whether to continue.

    Raises:
        StartError: the answer is no, or there is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise StartError(f"{question} Say {option}.")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise StartError("nothing was done", exit_code=1)
