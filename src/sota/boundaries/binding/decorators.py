"""Marks of both ends of a row, which the binder and ``sota whitelist`` read.

A row's id stands whole at its declaration, its handler and its caller, and nowhere else: one search finds all three.

>>> @serves("WL-…")                                                 # doctest: +SKIP
... async def queue_package(self, call): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def serves(*ids: str) -> Callable[[Function], Function]:
    """Mark the function that handles these rows: the callee's end."""
    return _mark(__serves__=ids)


def serves_service(row_id: str, service: str) -> Callable[[Function], Function]:
    """Mark the handler of one service of a row that has several (``start`` and ``cancel``)."""
    return _mark(__serves__=(row_id,), __service__=service)


def calls(*_ids: str) -> Callable[[Function], Function]:
    """Mark the function that makes these calls: the caller's end, which is only read in the source (``ends.py``)."""
    return _mark()


def _mark(**marks: object) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        function.__dict__.update(marks)
        return function

    return mark


def holds(*ids: str) -> dict[object, object]:
    """Mark the table that answers these rows of a database boundary, as SQLAlchemy's ``Table(info=holds(...))``."""
    return {"rows": ids}
