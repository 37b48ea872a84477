"""Limits on concurrent transfers and on bytes a second: in total, per install request, per vehicle.

Nothing here does I/O; callers pass the time, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one Core; 0 means no limit. ``window`` counts blocks; all transfers share ``in_flight_bytes``."""

    window: int = 8
    in_flight_bytes: int = 0
    transfers: int = 0
    transfers_per_request: int = 0
    bytes_per_s: int = 0
    request_bytes_per_s: int = 0
    vehicle_bytes_per_s: int = 0

    def window_of(self, transfers: int, block_size: int) -> int:
        """Return a transfer's fair share of the blocks in flight: at most ``window``, at least one.

        >>> Limits(window=8, in_flight_bytes=1_000_000).window_of(5, 100_000)
        2
        """
        if not self.in_flight_bytes:
            return self.window
        return max(1, min(self.window, self.in_flight_bytes // (max(1, transfers) * block_size)))


class TokenBucket:
    """Bytes that may be sent: ``rate`` a second, and what was not used of the last second.

    A message larger than that is sent too, and a longer pause follows it.
    """

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: int, now: float) -> None:
        self._rate, self._left, self._at = rate, float(rate), now

    def pause_s(self, now: float) -> float:
        """Return how long nothing may be sent; 0 when something may."""
        self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._left > 0 else -self._left / self._rate + 1e-3

    def spend(self, size: int) -> None:
        """Note that bytes are sent."""
        self._left -= size


class RateLimiter:
    """The rates of everything that is transferred."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._are_any = bool(limits.bytes_per_s or limits.request_bytes_per_s or limits.vehicle_bytes_per_s)
        self._buckets: dict[UUID | str | None, TokenBucket] = {}

    def pause_s(self, vin: str, request_id: UUID, now: float) -> float:
        """Return how long nothing may be sent to this vehicle for this request."""
        if not self._are_any:
            return 0.0
        return max((budget.pause_s(now) for budget in self._of(vin, request_id, now)), default=0.0)

    def spend(self, vin: str, request_id: UUID, size: int, now: float) -> None:
        """Note that bytes are sent."""
        for budget in self._of(vin, request_id, now) if self._are_any else ():
            budget.spend(size)

    def _of(self, vin: str, request_id: UUID, now: float) -> list[TokenBucket]:
        limits, found = self._limits, []
        for key, rate in (
            (None, limits.bytes_per_s),
            (request_id, limits.request_bytes_per_s),
            (vin, limits.vehicle_bytes_per_s),
        ):
            if rate:
                if key not in self._buckets:
                    self._buckets[key] = TokenBucket(rate, now)
                found.append(self._buckets[key])
        return found


class TransferSlots:
    """The vehicles that transfer now, and those that wait for a slot, first come, first served."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: dict[str, UUID] = {}
        self._of_request: dict[UUID, int] = {}
        self._waiting: OrderedDict[str, UUID] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, vin: str, request_id: UUID) -> bool:
        """Assign a slot to a vehicle, or let it wait for one; return whether it has one."""
        if vin in self._taken:
            return True
        if not self._has_room(request_id):
            self._waiting[vin] = request_id
            return False
        self._waiting.pop(vin, None)
        self._taken[vin] = request_id
        self._of_request[request_id] = self._of_request.get(request_id, 0) + 1
        return True

    def leave(self, vin: str) -> str | None:
        """Free a vehicle's slot; return the vehicle that waited for a slot and has one now."""
        self._waiting.pop(vin, None)
        request_id = self._taken.pop(vin, None)
        if request_id is None:
            return None
        left = self._of_request[request_id] - 1
        if left:
            self._of_request[request_id] = left
        else:
            del self._of_request[request_id]
        following = next((other for other, wanted in self._waiting.items() if self._has_room(wanted)), None)
        if following is not None:
            self.take(following, self._waiting[following])
        return following

    def _has_room(self, request_id: UUID) -> bool:
        limits = self._limits
        if limits.transfers and len(self._taken) >= limits.transfers:
            return False
        return not limits.transfers_per_request or self._of_request.get(request_id, 0) < limits.transfers_per_request
