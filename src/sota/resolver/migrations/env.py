"""Called by alembic."""

from sota.kit.sql.migrations import run_environment

run_environment()
