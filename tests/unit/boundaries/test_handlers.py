"""Handlers take what their rows declare: path, query and body."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import sota
from sota.boundaries.interaction import Http, Interaction
from sota.boundaries.parameters import path_type
from sota.boundaries.table import TABLE

PROGRAMS = ("web", "core", "resolver", "client", "slm")


def handlers() -> Iterator[tuple[str, Any]]:
    """The functions below the programs' ``api.py`` that serve rows over HTTP, each with a row's id."""
    for module in pkgutil.walk_packages(sota.__path__, "sota."):
        if module.name.split(".")[1] in PROGRAMS and module.name.endswith("api"):
            for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                for _, function in inspect.getmembers(kind, inspect.isfunction):
                    yield from ((row_id, function) for row_id in getattr(function, "__serves__", ()))


FOUND = dict(handlers())
# Callbacks of the node are decoded by the services, and what the gateway passes on by the row behind it.
TYPED = [
    row
    for row in TABLE.values()
    if isinstance(row.way, Http) and not row.way.secret_path and row.id in FOUND
    if FOUND[row.id].__qualname__ != "pass_on.<locals>.handler"
]


def bare(kind: Any) -> Any:
    """A type without its constraints, and of a list or dict without its items."""
    plain = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    return get_origin(plain) or plain or type(None)


@pytest.mark.parametrize("row", TYPED, ids=lambda row: row.id)
def test_handler_takes_what_its_row_declares(row: Interaction) -> None:
    hints = get_type_hints(FOUND[row.id])
    path, query, body = get_args(hints.get("call") or hints["_call"])
    decoded = row.request if row.http.max_body is not None else None
    assert (path, query, bare(body)) == (bare(path_type(row.http.path)), bare(row.http.query), bare(decoded))


def test_rows_of_one_route_take_one_path_and_query() -> None:
    routes: dict[tuple[str, str, str], set[object]] = {}
    for row in TABLE.values():
        if isinstance(row.way, Http):
            routes.setdefault((row.callee, row.way.method, row.way.path), set()).add(row.way.query)
    assert all(len(queries) == 1 for queries in routes.values())
