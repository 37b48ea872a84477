"""Bodies of B3 about what a package's filters and dependencies decide: previews, explanations, recorded resolutions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.b3_web_resolver.messages import Filter
from sota.boundaries.values import FilterText, Id, InstalledPackage, Instant, Message, PackageId, Request, Vin

# Longer than a filter may be: the answer says so while the user types.
Typed = Annotated[str, Meta(max_length=262_144, description="an expression of the filter language, finished or not")]
Dependencies = Annotated[list[PackageId], Meta(max_length=200, description="each the least version that will do")]


class TypedExpression(Request, frozen=True):
    """An expression that is nowhere saved."""

    expression: Typed


class Mistake(Message, frozen=True):
    """Why an expression cannot be evaluated: where (from 1), what was expected there, what may have been meant."""

    line: int
    column: int
    message: str
    expected: list[str] = msgspec.field(default_factory=list)
    suggestion: str | None = None


class Hint(Message, frozen=True):
    """Something in an expression that is allowed and may not mean what its writer thinks."""

    line: int
    column: int
    message: str


class Validation(Message, frozen=True):
    """Whether an expression can be evaluated."""

    valid: bool
    error: Mistake | None = None
    hints: list[Hint] = msgspec.field(default_factory=list)


class Formatted(Message, frozen=True):
    """An expression with tidy spaces and lines, or why it has none."""

    expression: str | None = None
    error: Mistake | None = None


class Preview(Message, frozen=True):
    """How many vehicles an expression is true for, and some of them; with an ``error`` for none."""

    count: int
    sample: list[Vin]
    error: Mistake | None = None
    hints: list[Hint] = msgspec.field(default_factory=list)


class PlanCount(Message, frozen=True):
    """The packages that some vehicles get, in the order of installation, and how many vehicles these are."""

    packages: list[PackageId]
    count: int


class ReasonCount(Message, frozen=True):
    """Why some vehicles are left out, and how many these are."""

    code: str
    reason: str
    count: int


class PackagePreview(Message, frozen=True):
    """What a resolve of a package would decide now; the lists begin with what concerns most vehicles."""

    chosen: int
    left_out: int
    plans: list[PlanCount]
    reasons: list[ReasonCount]


class ExplainRequest(Request, frozen=True):
    """A VIN, and either a package or an expression that is nowhere saved."""

    vin: Vin
    package: PackageId | None = None
    expression: FilterText | None = None

    def __post_init__(self) -> None:
        """Refuse both, and neither."""
        if (self.package is None) == (self.expression is None):
            raise ValueError("either a package or an expression must be given")


class ClauseKind(StrEnum):
    """What a clause is: a single test, or how others are joined."""

    TEST = "test"
    NOT = "not"
    AND = "and"
    OR = "or"


class Clause(Message, frozen=True):
    """A part of an expression, and whether it is true for the vehicle.

    A test has its ``text``, its place, and in ``seen`` what of the vehicle made it true, or could have; ``note`` says
    the same in a sentence.
    """

    kind: ClauseKind
    value: bool
    text: str | None = None
    line: int | None = None
    column: int | None = None
    seen: list[str] = msgspec.field(default_factory=list)
    note: str | None = None
    parts: list[Clause] = msgspec.field(default_factory=list)


class FilterExplained(Message, frozen=True):
    """A filter, and whether it is true for the vehicle, clause by clause; an expression that is unsaved has no name."""

    value: bool
    clause: Clause
    name: str | None = None


class PlanStep(Message, frozen=True):
    """A package that the vehicle would get, and why."""

    package: PackageId
    because: str


class Verdict(StrEnum):
    """``in``: the vehicle gets the package. ``out``: a filter is false for it. ``blocked``: filters want it to, and
    the dependencies do not allow it."""

    IN = "in"
    OUT = "out"
    BLOCKED = "blocked"


class Explanation(Message, frozen=True):
    """Why a vehicle gets a package or not. ``steps`` are in the order of installation, whatever the filters say."""

    vin: Vin
    verdict: Verdict
    filters: list[FilterExplained]
    steps: list[PlanStep] = msgspec.field(default_factory=list)
    code: str | None = None
    reason: str | None = None
    installed: list[InstalledPackage] = msgspec.field(default_factory=list)


class Dependency(Message, frozen=True):
    """An edge of the graph: the package needs another one, at this version or a later one."""

    package: PackageId
    needs: PackageId


class ResolutionStatus(StrEnum):
    """A record that was begun counts once it is complete."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


class Resolution(Message, frozen=True):
    """A recorded resolution: what was decided, when, and by which filters and dependencies as they stood then.

    ``erased`` counts the vehicles that were taken from its lists since, because they were erased.
    """

    resolution_id: Id
    package: PackageId
    status: ResolutionStatus
    begun_at: Instant
    chosen: int
    left_out: int
    erased: int
    filters: list[Filter]
    dependencies: list[Dependency]
    plans: list[PlanCount]
    reasons: list[ReasonCount]
    completed_at: Instant | None = None


class LeftOutVehicle(Message, frozen=True):
    """A vehicle that passed all filters and was left out, and why."""

    vin: Vin
    code: str
    reason: str


class Change(StrEnum):
    """How a vehicle's lot differs: chosen now, chosen no more, or another list of packages or another reason."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Decided(Message, frozen=True):
    """What one resolution decided for a vehicle: the packages that it gets, or why it gets none."""

    packages: list[PackageId] = msgspec.field(default_factory=list)
    code: str | None = None
    reason: str | None = None


class Difference(Message, frozen=True):
    """A vehicle that two resolutions decided otherwise; without ``before`` or ``after`` it passed no filter there."""

    vin: Vin
    change: Change
    before: Decided | None = None
    after: Decided | None = None
