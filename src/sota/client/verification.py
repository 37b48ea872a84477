"""The checks before the Software Loading Manager gets a file: its SHA-256, and a signature by a trusted key."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.values import Command
from sota.kit.errors import Refused


class Verifier:
    """Checks packages against the keys in a folder, which are read again for each check."""

    def __init__(self, keys: Path, *, allow_unsigned: bool) -> None:
        self._keys = keys
        self._allow_unsigned = allow_unsigned

    def check_start(self, start: StartDownload) -> None:
        """Check the signature over the announcement, which needs no file.

        Raises:
            Refused: ``verification_failed``: unsigned, signed by an unknown key, or signed for something else.
        """
        if not _brings_file(start):
            return
        if start.signature is None:
            if self._allow_unsigned:
                return
            raise Refused("verification_failed", f"{start.package.text} is not signed.")
        # The signature libraries take 11 MB, which an idle vehicle does not load (docs/decisions/0012).
        from sota.boundaries.package_signature import SignedFields, load_public_keys, verify

        keys = load_public_keys(self._keys)
        expected = SignedFields(
            name=start.package.name,
            version=start.package.version,
            size=start.size,
            sha256=start.sha256,
            installer=start.installer,
            target=start.target or "",
        )
        verify(msgspec.to_builtins(start.signature), keys, expected)

    def check_file(self, start: StartDownload, sha256: str) -> None:
        """Check a received file: it is the announced one, and that is signed.

        Raises:
            Refused: ``verification_failed``.
        """
        if _brings_file(start) and sha256 != start.sha256:
            raise Refused("verification_failed", f"The file's SHA-256 is {sha256}, and should be {start.sha256}.")
        self.check_start(start)


def _brings_file(start: StartDownload) -> bool:
    """Report whether a file comes into the vehicle; it is checked, whatever the command is."""
    return start.command is Command.INSTALL or start.size > 0
