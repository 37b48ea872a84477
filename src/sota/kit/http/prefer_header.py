"""``Prefer: wait=N`` (RFC 7240): how long a caller waits for long work to end before 202 is answer enough."""

from __future__ import annotations

import re
from collections.abc import Mapping

WAIT_LIMIT_S = 60.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?:$|[,;\s])", re.IGNORECASE)


def wait_s(headers: Mapping[str, str]) -> float:
    """Return the seconds that the caller will wait, 0 where it does not say; never more than a minute.

    >>> wait_s({"prefer": "respond-async, wait=20"})
    20.0
    """
    found = _WAIT.search(headers.get("prefer", ""))
    return min(float(found[1]), WAIT_LIMIT_S) if found else 0.0
