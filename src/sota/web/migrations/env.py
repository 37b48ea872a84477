"""Alembic's entry."""

from sota.kit.migrations import run_environment

run_environment()
