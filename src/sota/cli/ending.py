"""How a command ends: a start that fails says why in one line; exit code 2 is for wrong settings and credentials."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sota.kit.errors import SotaError, StartError


def ending(work: Callable[[], object]) -> None:
    """Do a command's work; turn our own errors into one line on standard error and an exit code."""
    try:
        work()
    except StartError as error:
        print(f"sota: {error.detail}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SotaError as error:
        print(f"sota: {error.title}: {error.detail}" if error.detail else f"sota: {error.title}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
