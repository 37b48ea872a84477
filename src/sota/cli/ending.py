"""How a command ends: errors are one line; exit code 2 is for wrong settings and credentials.

The same applies to a backend command in a vehicle's installation, which lacks the backend's libraries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sota.kit.errors import SotaError, StartError
from sota.kit.files.data_folder import PASSING

SERVER_ONLY = frozenset(
    {
        "aiosqlite", "alembic", "argon2", "asyncmy", "jinja2", "lark", "numpy", "obstore", "pyarrow", "pyroaring",
        "python_multipart", "re2", "sqlalchemy", "uvloop",
    }
)  # fmt: skip
"""The libraries that only the extra ``[server]`` installs, by import name (pyproject.toml)."""


def ending(work: Callable[[], object]) -> None:
    """Run a command; turn our own errors into one line on standard error and an exit code."""
    try:
        work()
    except StartError as error:
        print(f"sota: {error.detail}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SotaError as error:
        print(f"sota: {error.title}: {error.detail}" if error.detail else f"sota: {error.title}", file=sys.stderr)
        sys.exit(1)
    except ImportError as error:
        missing = missing_module(error)
        if missing not in SERVER_ONLY:
            raise
        print(
            f"sota: this is a vehicle's installation, and this command needs the backend's libraries ({missing} is"
            " missing): sota[server]",
            file=sys.stderr,
        )
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output (head, less) has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.filename is None or error.errno is None:  # not about a file that the user named: a fault of ours
            raise
        print(f"sota: {os.fsdecode(error.filename)}: {error.strerror}", file=sys.stderr)
        sys.exit(1 if error.errno in PASSING else 2)
    except KeyboardInterrupt:
        sys.exit(130)


def missing_module(error: BaseException | None) -> str | None:
    """Return the name of a missing library, even if another error wraps the import error."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__
    return None
