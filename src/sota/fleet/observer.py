"""What passes through a simulated vehicle's node: counted, and damaged where the profile says so."""

from __future__ import annotations

import contextlib

import msgspec

from sota.boundaries.b7_core_rvi.messages import StartDownload, UpdateAvailable
from sota.fleet.counts import Counts
from sota.fleet.profile import SeededOutcomes


class _Named(msgspec.Struct, rename={"content": "bytes"}):
    """The members that matter here of messages that name one download."""

    download_index: int
    status: str = ""
    reason: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class ProgressObserver:
    """Counts a vehicle's messages, and flips a bit of a block where the profile says so."""

    def __init__(self, vin: str, counts: Counts, outcomes: SeededOutcomes) -> None:
        self._vin, self._counts, self._outcomes = vin, counts, outcomes
        self._is_connected = False
        self._to_corrupt: set[int] = set()

    def arrives(self, service: str, parameters: bytes) -> bytes:
        """Observe a message for a service (short name) of the vehicle; returns the parameters for the client."""
        with contextlib.suppress(msgspec.MsgspecError):  # the client refuses malformed messages
            if service == "chunk":
                return self._chunk(parameters)
            if service == "notify":
                (update,) = _UPDATES.decode(parameters)
                indexes = frozenset(download.download_index for download in update.downloads)
                self._counts.notified(self._vin, update.update_id, indexes)
            elif service == "start":
                (start,) = _STARTS.decode(parameters)
                self._counts.transferring(self._vin)
                if self._outcomes.corrupts(f"{start.package.name}/{start.package.version}"):
                    self._to_corrupt.add(start.download_index)
            elif service == "reported":
                (named,) = _NAMED.decode(parameters)
                self._counts.confirmed(self._vin, named.download_index)
        return parameters

    def leaves(self, service: str, parameters: bytes) -> None:
        """Observe a message of the vehicle."""
        if service == "report":
            with contextlib.suppress(msgspec.MsgspecError):
                (named,) = _NAMED.decode(parameters)
                self._counts.reported(self._vin, named.download_index, named.status, named.reason)

    def connected(self, is_connected: bool) -> None:
        """Observe the connection come and go."""
        if is_connected is not self._is_connected:
            self._is_connected = is_connected
            self._counts.connected += 1 if is_connected else -1

    def _chunk(self, parameters: bytes) -> bytes:
        # Base64 takes four characters for three bytes; the envelope is small.
        self._counts.payload_bytes += len(parameters) * 3 // 4
        if not self._to_corrupt:
            return parameters
        (named,) = _NAMED.decode(parameters)
        if named.download_index not in self._to_corrupt:
            return parameters
        self._to_corrupt.discard(named.download_index)
        content = bytes(named.content)
        middle = len(content) // 2
        other = b"B" if content[middle : middle + 1] == b"A" else b"A"
        return parameters.replace(content, content[:middle] + other + content[middle + 1 :], 1)


_UPDATES = msgspec.json.Decoder(list[UpdateAvailable])
_STARTS = msgspec.json.Decoder(list[StartDownload])
_NAMED = msgspec.json.Decoder(list[_Named])
