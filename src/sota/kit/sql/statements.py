"""Types of statements and rows whose columns only the statement knows; functions that read rows name the columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

AnyRow = sa.Row[*tuple[Any, ...]]  # SQLAlchemy types a row by its select, which here is put together at run time
AnySelect = sa.Select[*tuple[Any, ...]]  # the same
AnyColumn = sa.ColumnElement[Any]  # columns of several types side by side
