"""Alembic's entry."""

from sota.kit.sql.migrations import run_environment

run_environment()
