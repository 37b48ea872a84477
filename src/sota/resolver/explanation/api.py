"""Route of explanations."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.resolution_messages import ExplainRequest
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.resolver.explanation.service import Explanations


class ExplanationApi:
    """Explains decisions about one vehicle to the Web Server."""

    def __init__(self, explanations: Explanations) -> None:
        self.explanations = explanations

    @serves("X-B3-17")
    async def explain(self, call: Call[None, None, ExplainRequest]) -> Reply:
        """Explain why a vehicle gets a package, or matches an expression, or not."""
        asked = call.body
        if asked.expression is not None:
            return Reply("explained", await self.explanations.of_expression(asked.vin, asked.expression))
        assert asked.package is not None  # noqa: S101 - the request's type says that it is one or the other
        return Reply("explained", await self.explanations.of_package(asked.vin, asked.package))
