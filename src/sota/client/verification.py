"""What must hold before the Software Loading Manager sees a file: its SHA-256, and a signature by a trusted key."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sota.boundaries.b9_rvi_client.messages import StartDownload
from sota.boundaries.values import Command
from sota.kit.errors import Refused


class Verifier:
    """Knows the keys that may sign this vehicle's packages; reads them anew for each check."""

    def __init__(self, keys: Path, *, allow_unsigned: bool) -> None:
        self._keys = keys
        self._allow_unsigned = allow_unsigned
        self._accepted: tuple[StartDownload, object] | None = None

    def check_start(self, start: StartDownload) -> None:
        """Check the signature over what is announced, which needs no file.

        Raises:
            Refused: ``verification_failed``: unsigned, signed by a stranger, or signed for something else.
        """
        if not _brings_file(start):
            return
        if start.signature is None:
            if self._allow_unsigned:
                return
            raise Refused("verification_failed", f"{start.package.text} is not signed.")
        # The libraries of signatures take 11 MB: a vehicle that waits for an update does without (docs/decisions/0012).
        from sota.boundaries.package_signature import SignedFields, load_public_keys, verify

        keys = load_public_keys(self._keys)
        if self._accepted == (start, keys):
            return  # checked before its blocks came, with the keys of now; to check it again took 0.2 ms
        expected = SignedFields(
            name=start.package.name,
            version=start.package.version,
            size=start.size,
            sha256=start.sha256,
            installer=start.installer,
            target=start.target or "",
        )
        verify(msgspec.to_builtins(start.signature), keys, expected)
        self._accepted = (start, keys)

    def check_file(self, start: StartDownload, sha256: str) -> None:
        """Check what arrived: the file is the one announced, and that one is signed.

        Raises:
            Refused: ``verification_failed``.
        """
        if _brings_file(start) and sha256 != start.sha256:
            raise Refused("verification_failed", f"The file's SHA-256 is {sha256}, and should be {start.sha256}.")
        self.check_start(start)


def _brings_file(start: StartDownload) -> bool:
    """Report whether anything is brought into the vehicle: whatever the command is, its file is checked."""
    return start.command is Command.INSTALL or start.size > 0
