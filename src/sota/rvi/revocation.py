"""Revoked certificates and credentials: a file that the operator's side writes and the node reads again.

One entry a line: the SHA-256 fingerprint of a certificate (of its DER, 64 lower-case hexadecimal digits), the id of a
credential, or a VIN, which revokes every identity of that vehicle except credentials in lines ``VIN+CREDENTIAL``. Empty
lines and those that begin with ``#`` are ignored. Rules kept here:

* a change takes effect within a second, without a restart: open links are cut, and new ones refused;
* a file that does not exist yet revokes nothing. A file that existed and cannot be read any more leaves its last
  entries in force: no revoked identity returns because a file is lost;
* the file's size is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from sota.boundaries.services import allowing
from sota.kit.files.durable import Stamp
from sota.kit.security.x509 import fingerprint
from sota.rvi.credentials import Rights

MAX_FILE_BYTES = 64 << 20


class Revocations:
    """The file's entries when it was last read."""

    def __init__(self, file: Path | None, log: FilteringBoundLogger | None = None) -> None:
        """Take the file's path; None where nothing is ever revoked."""
        self._file, self._log = file, log
        self._stamp: Stamp | None = None
        self._entries: frozenset[str] = frozenset()
        self._warned = False

    def __len__(self) -> int:
        return len(self._entries)

    def refresh(self) -> bool:
        """Read the file if it changed; True if its entries have changed."""
        if self._file is None:
            return False
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return False
            if status.st_size > MAX_FILE_BYTES:
                raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
            entries = _read(self._file.read_text("utf-8"))
        except FileNotFoundError:
            if self._stamp is not None:
                self._warn("it does not exist any more")
            return False
        except (OSError, ValueError) as error:
            self._warn(str(error))
            return False
        self._stamp, self._warned = stamp, False
        changed, self._entries = entries != self._entries, entries
        return changed

    def find_against(self, rights: Rights, certificate: bytes | None) -> str | None:
        """Return the entry that revokes a peer with these rights, or None."""
        return self.find(certificate, [one.id for one in rights.credentials], rights.vin_behind(certificate))

    def find(self, certificate: bytes | None, credentials: Iterable[str], vin: str | None = None) -> str | None:
        """Return the entry that revokes this certificate (DER), one of these credentials or this VIN, or None."""
        if not self._entries:
            return None
        if certificate is not None and (print_ := fingerprint(certificate)) in self._entries:
            return print_
        shown = list(credentials)
        found = next((credential for credential in shown if credential in self._entries), None)
        if found is not None or vin is None or vin not in self._entries:
            return found
        return None if any(allowing(vin, credential) in self._entries for credential in shown) else vin

    def _warn(self, reason: str) -> None:
        if not self._warned and self._log is not None:
            self._log.error("revocations_not_read", file=str(self._file), error=reason, kept=len(self._entries))
        self._warned = True


def _read(text: str) -> frozenset[str]:
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
