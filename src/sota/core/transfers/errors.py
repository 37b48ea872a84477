"""Errors that a background step of a transfer survives: it is tried again."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from sota.kit.errors import SotaError

TRANSIENT = (SotaError, SQLAlchemyError, OSError)
