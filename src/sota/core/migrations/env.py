"""Where alembic enters."""

from sota.kit.sql.migrations import run_environment

run_environment()
