"""The mark of a handler, which the binder reads: which rows a function answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def serves(*ids: str) -> Callable[[Function], Function]:
    """Mark the function that handles these rows: the callee's end."""

    def mark(function: Function) -> Function:
        function.__dict__["__serves__"] = ids
        return function

    return mark
