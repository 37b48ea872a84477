"""A computation in steps, done without a pause."""

from __future__ import annotations

from sota.resolver.index.workers import Result, Steps


def finish(steps: Steps[Result]) -> Result:
    """Compute without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: Result = ended.value
            return result
