"""Imports a library without the part of it that we have no use for.

Two libraries import, with their first line, a command line and a web server of their own: 5 MB of a vehicle's memory
for nothing (docs/decisions/0012). While ``hidden`` lasts, an empty module stands in for such a part; afterwards it can
be imported as ever. ``tests/unit/tooling/test_footprint.py`` watches what a vehicle loads, so that a library that
changes its form is noticed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType


class _Empty(ModuleType):
    """Has every name that is asked for, as None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let these modules be empty while the block lasts; one that is loaded already stays as it is."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Empty(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
