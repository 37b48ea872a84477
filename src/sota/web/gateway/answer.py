"""How an answer of Core or the Resolver becomes one of B1: pure rules.

A code is passed on unchanged. What B1's row does not declare is translated:

* a neighbour that is down, or whose store is, is 503 on every row (docs/specification.md, ruling 2);
* a neighbour that refuses the Web Server's own credential is not the caller's fault: B1-21 declares an outcome for
  it, any other row answers as if the neighbour were down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sota.boundaries.interaction import Interaction
from sota.kit.errors import Refused, SotaError, Unavailable
from sota.kit.runtime.logging import get_logger

CREDENTIAL_REFUSED = "The Web Server's own credential is refused: its operator must renew it."
AWAY = "A program behind the Web Server does not answer now: try again."


@contextmanager
def answering(row: Interaction) -> Iterator[None]:
    """Turn the errors of the program behind into those of this row."""
    try:
        yield
    except Unavailable as error:  # its detail contains internal addresses
        get_logger().warning("neighbour_away", interaction=row.id, reason=error.detail)
        raise translate(row, Unavailable(AWAY)) from error
    except Refused as error:
        raise translate(row, error) from error


def translate(row: Interaction, error: SotaError) -> SotaError:
    """Return the error that this row may answer."""
    if error.code == "unauthenticated" and row.outcome("unauthenticated") is None:
        error = Unavailable(CREDENTIAL_REFUSED)
    return error
