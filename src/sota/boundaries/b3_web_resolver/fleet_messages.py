"""Bodies of B3 about what is said of vehicles: attributes and groups."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sota.boundaries.values import Description, ForeignText, Label, Message, Request, Vin

Attributes = Annotated[dict[Label, ForeignText], Meta(max_length=64, description="a vehicle's attributes by name")]
Vins = Annotated[list[Vin], Meta(min_length=1, max_length=10_000)]


class GroupChange(Request, frozen=True):
    """What a group is for."""

    description: Description = ""


class Group(Message, frozen=True):
    """A group of vehicles: its name, what it is for, and how many vehicles are in it."""

    name: str
    vehicles: int
    description: str = ""


class MembersChanged(Message, frozen=True):
    """How many vehicles joined or left a group; ``unknown`` are VINs that are not registered: nothing was done for
    them."""

    changed: int
    unknown: list[Vin]
