"""An identity of a download for tests that care for no particular one."""

from __future__ import annotations

from typing import Any

from sota.boundaries.values import DownloadIdentity, PackageId

EPOCH = "e" * 16
UPDATE_ID = "0190c5a0-7b1c-7000-8000-000000000001"
SHA256 = "a" * 64
IDENTITY = DownloadIdentity(update_id=UPDATE_ID, package=PackageId(name="ivi", version="2.1.0"), sha256=SHA256)
NAMED: dict[str, Any] = {
    "update_id": UPDATE_ID,
    "package": {"name": "ivi", "version": "2.1.0"},
    "sha256": SHA256,
}
"""The same, as it is on the wire."""
