"""The transfers that this Core drives, in memory, and which of them may send now.

Rules kept here:

* a vehicle gets one download at a time, the one with the lowest index first;
* vehicles share the slots that the operator allows (``limits.py``), and take turns (``fair_queue.py``);
* a transfer that was forgotten or replaced sends nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sota.core.transfers.model import Download, DownloadMessage
from sota.core.transfers.sending.fair_queue import FairQueue
from sota.core.transfers.sending.limits import TransferSlots
from sota.core.transfers.sending.model import Transfer


class ActiveTransfers:
    """All transfers by VIN and download index."""

    def __init__(self, slots: TransferSlots, queue: FairQueue) -> None:
        self._slots, self._queue = slots, queue
        self._by_vin: dict[str, dict[int, Transfer]] = {}

    def __contains__(self, vin: str) -> bool:
        """Whether a download of this vehicle is under way here."""
        return vin in self._by_vin

    def __iter__(self) -> Iterator[Transfer]:
        """Iterate over a copy."""
        return iter([transfer for group in self._by_vin.values() for transfer in group.values()])

    def find(self, vin: str, download_index: int) -> Transfer | None:
        """Return the transfer of a download, if it is under way here."""
        return self._by_vin.get(vin, {}).get(download_index)

    def find_meant(self, message: DownloadMessage) -> Transfer | None:
        """Return the transfer that a vehicle's message is about, if it is under way here."""
        transfer = self.find(message.vin, message.download_index)
        return transfer if transfer is not None and transfer.is_meant_by(message) else None

    def add(self, transfer: Transfer) -> None:
        """Add a transfer; another one of the same vehicle and index ends."""
        download = transfer.download
        replaced = self.find(download.vin, download.download_index)
        if replaced is not None:
            replaced.paused = True
        self._by_vin.setdefault(download.vin, {})[download.download_index] = transfer

    def begin(self, download: Download) -> None:
        """Begin or go on with a download: the vehicle is asked what it has."""
        current = self.find(download.vin, download.download_index)
        is_same = current is not None and current.identity == download.identity
        transfer = Transfer(download, current.received if current and is_same else download.received)
        self.add(transfer)
        self.schedule(transfer)

    def schedule(self, transfer: Transfer) -> None:
        """Queue a transfer, if it is the vehicle's next and there is a slot for it."""
        download = transfer.download
        group = self._by_vin.get(download.vin)
        if transfer.is_queued or transfer.paused or not group or group[min(group)] is not transfer:
            return
        if self._slots.take(download.vin, download.request_id):
            self._queue.add(transfer)

    def pause(self, vins: Iterable[str]) -> None:
        """Send nothing to vehicles that are away; others get their slots."""
        for vin in vins:
            for transfer in self._by_vin.get(vin, {}).values():
                transfer.paused = True
            self._leave(vin)

    def forget(self, vin: str, download_index: int) -> None:
        """Forget a download; the next one of the vehicle is sent."""
        group = self._by_vin.get(vin)
        if group is None:
            return
        forgotten = group.pop(download_index, None)
        if forgotten is not None:
            forgotten.paused = True
        if group:
            self.schedule(group[min(group)])
        else:
            del self._by_vin[vin]
            self._leave(vin)

    def forget_vehicle(self, vin: str) -> None:
        """Forget all downloads of a vehicle: they belong to another epoch of it."""
        for transfer in self._by_vin.pop(vin, {}).values():
            transfer.paused = True
        self._leave(vin)

    def clear(self) -> None:
        """Forget everything."""
        self._by_vin.clear()

    def _leave(self, vin: str) -> None:
        next_vin = self._slots.leave(vin)
        group = self._by_vin.get(next_vin) if next_vin is not None else None
        if group:
            self.schedule(group[min(group)])
