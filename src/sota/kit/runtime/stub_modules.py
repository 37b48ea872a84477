"""Imports a library without a part that we do not need.

Two libraries import a command line and a web server of their own when they load: 5 MB of a vehicle's memory for
nothing (docs/decisions/0012). While ``stubbed`` lasts, an empty module replaces such a part; afterwards it can be
imported normally. ``tests/unit/tooling/test_footprint.py`` watches what a vehicle loads, and fails if a library
changes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType


class _Empty(ModuleType):
    """Has any attribute, as None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextlib.contextmanager
def stubbed(*names: str) -> Iterator[None]:
    """Replace these modules by empty ones while the block lasts; one that is loaded already stays."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Empty(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
