"""Routes of previews. The expression is still being typed: a mistake is an answer, with its place."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.resolution_messages import (
    Formatted,
    Hint,
    Mistake,
    PackagePreview,
    PlanCount,
    Preview,
    ReasonCount,
    TypedExpression,
    Validation,
)
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import PackagePath
from sota.boundaries.values import PackageId
from sota.resolver.dependencies.model import to_package_id
from sota.resolver.language.parser import FilterSyntaxError
from sota.resolver.preview.service import Checked, Previews

LISTED = 20
"""How many plans and reasons of a rehearsal are listed: those that concern most vehicles."""


class PreviewApi:
    """Previews for authors of filters, through the Web Server."""

    def __init__(self, previews: Previews) -> None:
        self.previews = previews

    @serves("X-B3-18")
    async def preview(self, call: Call[None, None, TypedExpression]) -> Reply:
        """Count the vehicles that match an expression, and name some."""
        checked = await self.previews.check(call.body.expression)
        if checked.meaning is None:
            return Reply("previewed", Preview(count=0, sample=[], error=to_mistake(checked.error)))
        count, sample = await self.previews.count(checked.meaning)
        return Reply("previewed", Preview(count=count, sample=sample, hints=_hints(checked)))

    @serves("X-B3-19")
    async def validate(self, call: Call[None, None, TypedExpression]) -> Reply:
        """Validate an expression."""
        checked = await self.previews.check(call.body.expression)
        is_valid = checked.meaning is not None
        return Reply("validated", Validation(valid=is_valid, error=to_mistake(checked.error), hints=_hints(checked)))

    @serves("X-B3-20")
    async def format(self, call: Call[None, None, TypedExpression]) -> Reply:
        """Format an expression."""
        tidy = await self.previews.format(call.body.expression)
        if isinstance(tidy, FilterSyntaxError):
            return Reply("formatted", Formatted(error=to_mistake(tidy)))
        return Reply("formatted", Formatted(expression=tidy))

    @serves("X-B3-21")
    async def preview_package(self, call: Call[PackagePath, None, None]) -> Reply:
        """Preview what a resolve of a package would decide now."""
        package = PackageId(name=call.path.name, version=call.path.version)
        chosen, left_out = await self.previews.rehearse(package)
        body = PackagePreview(
            chosen=chosen.total(),
            left_out=left_out.total(),
            plans=[
                PlanCount(packages=[to_package_id(one) for one in plan.packages], count=count)
                for plan, count in chosen.most_common(LISTED)
            ],
            reasons=[
                ReasonCount(code=plan.code, reason=plan.reason, count=count)
                for plan, count in left_out.most_common(LISTED)
            ],
        )
        return Reply("previewed", body)


def to_mistake(error: FilterSyntaxError | None) -> Mistake | None:
    """Format a mistake for B3."""
    if error is None:
        return None
    return Mistake(
        line=error.line,
        column=error.column,
        message=error.reason,
        expected=list(error.expected),
        suggestion=error.suggestion,
    )


def _hints(checked: Checked) -> list[Hint]:
    return [Hint(line=hint.place.line, column=hint.place.column, message=hint.text) for hint in checked.hints]
