"""Which certificates and credentials count no more: a file that the operator's side writes and the node reads again.

One entry a line: the SHA-256 fingerprint of a certificate (of its DER, 64 lower-case hexadecimal digits), the id of a
credential, or the VIN of a vehicle, of which no identity counts whatever issued it, except credentials in lines
``VIN+CREDENTIAL``; empty lines and those that begin with ``#`` are passed over. Rules kept here:

* a change counts within a second, with no restart: links of whoever stands there are cut, and not taken again;
* a file that is not there yet revokes nobody; one that was there and cannot be read any more leaves in force what it
  said: nobody comes back because a file is lost;
* the file is bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sota.boundaries.services import allowing
from sota.rvi.credentials import Rights

MAX_FILE_BYTES = 64 << 20
Stamp = tuple[int, int, int]


class Revocations:
    """The entries of the file, as they were when it was last looked at."""

    def __init__(self, file: Path | None, log: Any = None) -> None:
        """Take the file's place; None where nothing is ever revoked."""
        self._file, self._log = file, log
        self._stamp: Stamp | None = None
        self._entries: frozenset[str] = frozenset()
        self._complained = False

    def __len__(self) -> int:
        return len(self._entries)

    def refresh(self) -> bool:
        """Look at the file; True if its entries have changed."""
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
                self._complain("it is gone")
            return False
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return False
        self._stamp, self._complained = stamp, False
        changed, self._entries = entries != self._entries, entries
        return changed

    def find_against(self, rights: Rights, certificate: bytes | None) -> str | None:
        """Return the entry that stands against a peer with these rights; None where there is none."""
        return self.find(certificate, [one.id for one in rights.credentials], rights.vin_behind(certificate))

    def find(self, certificate: bytes | None, credentials: Iterable[str], vin: str | None = None) -> str | None:
        """Return the entry that stands against a peer with this certificate (DER), these credentials and this VIN.

        None where there is none.
        """
        if not self._entries:
            return None
        if certificate is not None and (print_ := fingerprint(certificate)) in self._entries:
            return print_
        shown = list(credentials)
        found = next((credential for credential in shown if credential in self._entries), None)
        if found is not None or vin is None or vin not in self._entries:
            return found
        return None if any(allowing(vin, credential) in self._entries for credential in shown) else vin

    def _complain(self, reason: str) -> None:
        if not self._complained and self._log is not None:
            self._log.error("revocations_not_read", file=str(self._file), error=reason, kept=len(self._entries))
        self._complained = True


def fingerprint(certificate: bytes) -> str:
    """Give the SHA-256 fingerprint of a certificate in DER."""
    return hashlib.sha256(certificate).hexdigest()


def _read(text: str) -> frozenset[str]:
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
