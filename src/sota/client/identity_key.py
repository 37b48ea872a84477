"""Create a vehicle's next key and the request for its certificate, in a process of its own.

``python -m sota.client.identity_key FOLDER VIN`` writes ``device.key.pending`` and ``device.csr.pending`` where they
are missing. The library that creates keys takes 11 MB, which a vehicle needs for a second every other year
(docs/decisions/0012).
"""

from __future__ import annotations

import sys
from pathlib import Path

from sota.kit.files.durable import private_folder, replace_together

# Not *.key: the node watches those files.
PENDING_KEY, PENDING_REQUEST = "device.key.pending", "device.csr.pending"


def make_pending(folder: Path, vin: str) -> None:
    """Create key and request, both or neither."""
    private_folder(folder)
    if (folder / PENDING_KEY).exists() and (folder / PENDING_REQUEST).exists():
        return
    from sota.boundaries.authority import make_request

    key, request = make_request(vin)
    replace_together(folder, {PENDING_KEY: key, PENDING_REQUEST: request.encode()})


if __name__ == "__main__":
    make_pending(Path(sys.argv[1]), sys.argv[2])
