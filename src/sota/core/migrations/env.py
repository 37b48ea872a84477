"""Where alembic enters."""

from sota.kit.migrations import run_environment

run_environment()
