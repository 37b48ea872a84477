"""Called by alembic."""

from sota.kit.migrations import run_environment

run_environment()
