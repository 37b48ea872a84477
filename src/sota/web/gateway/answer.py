"""How an answer of Core or of the Resolver becomes one of B1: pure rules.

A code travels unchanged. What B1's row does not know is turned into what it does:

* a neighbour that is away, or whose store is, is 503 on every row (docs/specification.md, ruling 2);
* a neighbour that refuses the Web Server's own credential is no fault of the caller: B1-21 says so in its own words,
  any other row answers as if the neighbour were away.
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
    except Unavailable as error:  # its detail names addresses, which are ours alone
        get_logger().warning("neighbour_away", interaction=row.id, reason=error.detail)
        raise translate(row, Unavailable(AWAY)) from error
    except Refused as error:
        raise translate(row, error) from error


def translate(row: Interaction, error: SotaError) -> SotaError:
    """Return the error that this row may answer."""
    if error.code == "unauthenticated" and row.outcome("unauthenticated") is None:
        error = Unavailable(CREDENTIAL_REFUSED)
    return error
