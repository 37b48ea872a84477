"""Arguments that several commands of ``sota ctl`` take, and how they are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from cyclopts import Parameter, validators

from sota.boundaries.values import Interval, PackageId
from sota.kit.errors import StartError

Limit = Annotated[int, Parameter(validator=validators.Number(gte=1))]
All = Annotated[bool, Parameter(negative=())]
Switch = Annotated[bool, Parameter(negative=())]
Priority = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))]

_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_package(text: str) -> PackageId:
    """Read NAME/VERSION.

    Raises:
        StartError: it is none.
    """
    name, _, version = text.partition("/")
    try:
        return msgspec.convert({"name": name, "version": version}, PackageId)
    except msgspec.ValidationError:
        raise StartError(f"{text!r} is no package: write NAME/VERSION, for example ivi/2.1.0") from None


def read_span(text: str) -> timedelta:
    """Read a length of time: 90s, 45m, 12h, 14d, 2w.

    Raises:
        StartError: it is none.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise StartError(f"{text!r} is no length of time: write for example 90s, 45m, 12h, 14d or 2w")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def read_interval(start: datetime | None, end: datetime | None, within: str | None) -> Interval:
    """Read when something may happen: from ``start`` (now) to ``end``, or for as long as ``within`` says.

    Raises:
        StartError: there is no end, or two, or it comes first.
    """
    if (end is None) == (within is None):
        raise StartError("say until when: either --end or --within")
    begins = in_utc(start) if start is not None else datetime.now(UTC)
    ends = in_utc(end) if end is not None else begins + read_span(within or "")
    if ends <= begins:
        raise StartError(f"the end {ends:%Y-%m-%dT%H:%M:%SZ} is not after the start {begins:%Y-%m-%dT%H:%M:%SZ}")
    return Interval(start=begins, end=ends)


def in_utc(moment: datetime) -> datetime:
    """Give a moment its zone: UTC where it names none."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
