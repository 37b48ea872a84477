"""Which download is meant, which blocks a vehicle has, and which to send next. Nothing here does I/O.

Rules kept here:

* what a vehicle says counts for the download whose identity it names, in the life of the vehicle whose epoch it names;
  the index only finds it (docs/decisions/0021-a-download-has-an-identity.md);
* the lowest block not yet acknowledged is sent first, and at most ``window`` blocks are on the way (1 is the original);
* a block that is acknowledged is never sent again;
* a block is sent again when its time is over, ``attempts`` times in all; then the download is given up. While earlier
  blocks are acknowledged its time does not run: a slow link is no silent one;
* the vehicle's word about what it has is final: a ``finish`` that it answers with missing blocks takes them back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from sota.boundaries.values import DownloadIdentity, PackageId
from sota.core.transfers.window import Window
from sota.kit.ranges import Ranges


def block_count(size: int, block_size: int) -> int:
    """How many blocks a file has; an empty one has none."""
    return -(-size // block_size)


class DownloadState(StrEnum):
    """Where a download stands in the database."""

    PENDING = "pending"
    TRANSFERRING = "transferring"
    TRANSFERRED = "transferred"
    INSTALLED = "installed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the vehicle has reported it, or it was given up."""
        return self in {DownloadState.INSTALLED, DownloadState.FAILED}


@dataclass(frozen=True, slots=True)
class Download:
    """A download with what its transfer needs of its package, its update and its request."""

    vin: str
    download_index: int
    update_id: UUID
    request_id: UUID
    package: tuple[str, str]
    size: int
    block_size: int
    received: Ranges
    state: DownloadState
    update_status: str
    command: str
    uri: str
    sha256: str
    sha1: str
    installer: str
    target: str | None
    signature: str | None
    epoch: str
    allow_downgrade: bool = False
    ended_by: str | None = None
    update_stage: str | None = None

    @property
    def package_text(self) -> str:
        """The *Package ID*."""
        return "/".join(self.package)

    @property
    def identity(self) -> DownloadIdentity:
        """Which download it is, whatever its index."""
        name, version = self.package
        return DownloadIdentity(
            update_id=str(self.update_id), package=PackageId(name=name, version=version), sha256=self.sha256
        )

    @property
    def block_count(self) -> int:
        """How many blocks the file has."""
        return block_count(self.size, self.block_size)


class Claim(Protocol):
    """What a vehicle's message about a download names."""

    @property
    def vin(self) -> str:
        """The vehicle that speaks."""
        ...

    @property
    def download_index(self) -> int:
        """The handle of the download."""
        ...

    @property
    def identity(self) -> DownloadIdentity:
        """Which download is meant."""
        ...

    @property
    def epoch(self) -> str | None:
        """The life of the vehicle in which it was told of the download."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """A download that a vehicle is to be told of: its handle and its identity."""

    vin: str
    download_index: int
    identity: DownloadIdentity


class Mismatch(StrEnum):
    """Why a vehicle's message counts for no download."""

    DOWNLOAD = "download"
    """The index is unknown, or stands for another download."""
    EPOCH = "epoch"
    """The download is known; the vehicle was told of it in another life."""


def mismatch(known: Download | None, claim: Claim) -> Mismatch | None:
    """Compare what a vehicle names with the download that has its index."""
    if known is None or known.identity != claim.identity:
        return Mismatch.DOWNLOAD
    return None if known.epoch == claim.epoch else Mismatch.EPOCH


@dataclass(frozen=True, slots=True)
class Life:
    """What Core knows of a vehicle's present life."""

    vin: str
    epoch: str
    highest_index: int
    """The highest index that either side has named."""
    highest_answered: int
    """The highest index of a download that the vehicle has asked for: its data folder must remember it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from what a vehicle remembers."""

    renew: bool
    """Core knows less than the vehicle was told in its present life: the database has lost its last commits."""
    stale: bool
    """The vehicle must hear its present epoch, and again of its update under way."""
    ask: bool
    """Register and vehicle may differ: the vehicle is asked for all its packages."""


def judge(life: Life, epoch: str | None, highest_index: int, *, knows_update: bool = True) -> Verdict:
    """Compare what a vehicle names with what Core knows of it.

    >>> judge(Life("WVW00000000000001", "a" * 16, 7, 7), "a" * 16, 7)
    Verdict(renew=False, stale=False, ask=False)
    """
    is_current = epoch == life.epoch
    renew = is_current and (highest_index > life.highest_index or not knows_update)
    is_behind = highest_index < life.highest_answered
    is_new = epoch is None and not highest_index and not life.highest_answered
    return Verdict(renew, renew or is_behind or not is_current, (renew or is_behind or not is_current) and not is_new)


class Phase(StrEnum):
    """What a transfer waits for: the first acknowledgement, those of blocks, or that of ``finish``."""

    STARTING = "starting"
    SENDING = "sending"
    FINISHING = "finishing"


@dataclass(slots=True)
class Attempt:
    """When something was sent last, and how often."""

    at: float
    number: int


@dataclass(slots=True)
class Transfer:
    """One download under way, in the memory of the Core that drives it; the database has its acknowledgements."""

    download: Download
    received: Ranges
    phase: Phase = Phase.STARTING
    sent: dict[int, Attempt] = field(default_factory=dict)
    step: Attempt = field(default_factory=lambda: Attempt(0.0, 0))
    corrections: int = 0
    in_row: bool = False
    paused: bool = False
    heard_at: float = 0.0
    overtaken_at: float = 0.0
    waiting_answers: int = 0
    window: Window = field(default_factory=Window)
    identity: DownloadIdentity = field(init=False)
    identity_json: bytes = field(init=False)
    """Encoded once for all blocks."""

    def __post_init__(self) -> None:
        """Keep what each message is compared with and carries."""
        self.identity = self.download.identity
        self.identity_json = msgspec.json.encode(self.identity)

    def is_meant_by(self, claim: Claim) -> bool:
        """Report whether a message of the vehicle is about this download, in the vehicle's present life."""
        return claim.epoch == self.download.epoch and claim.identity == self.identity

    @property
    def is_complete(self) -> bool:
        """Whether every block is acknowledged."""
        return len(self.received) >= self.download.block_count

    def may_send(self, index: int) -> bool:
        """Say whether a block may go out: it is not acknowledged."""
        return index not in self.received

    def acknowledged(self, ranges: Ranges, now: float = 0.0) -> bool:
        """Take acknowledgements; what they cover is no longer on the way. Says whether they say anything new."""
        received = self.received.union(ranges)
        if received == self.received:
            return False
        self.received, self.heard_at = received, now
        taken = [self.sent.pop(index) for index in [index for index in self.sent if index in received]]
        if taken:
            self.overtaken_at = max(self.overtaken_at, *(attempt.at for attempt in taken))
        plain = [attempt.at for attempt in taken if attempt.number == 1 and attempt.at]
        if plain:  # of a block that was sent twice nobody knows which one is acknowledged
            self.window.acknowledged(now - max(plain), len(plain))
        return True

    def correct(self, ranges: Ranges) -> None:
        """Take the vehicle's word at ``finish``: these blocks it has, and no others."""
        self.received = ranges
        self.corrections += 1
        self.sent.clear()
        self.enter(Phase.SENDING)

    def enter(self, phase: Phase) -> None:
        """Go to the next phase; its attempts count anew."""
        self.phase, self.step = phase, Attempt(0.0, 0)

    def next_block(self, window: int) -> int | None:
        """Give the lowest block to send, None when the window is full or nothing is left."""
        sent = self.sent
        if self.phase is not Phase.SENDING or self.paused:
            return None
        if len(sent) >= window and sum(1 for attempt in sent.values() if attempt.at > 0) >= window:
            return None
        for index in self.received.missing(self.download.block_count):
            attempt = sent.get(index)
            if attempt is None or attempt.at == 0:
                return index
        return None

    def mark_sent(self, index: int, now: float) -> None:
        """Note that a block goes out now."""
        known = self.sent.get(index)
        self.sent[index] = Attempt(now, known.number + 1 if known else 1)

    def take_back(self, index: int) -> None:
        """Note that a block did not go out after all (the node is away): this was no attempt."""
        known = self.sent.get(index)
        if known is not None:
            self.sent[index] = Attempt(0.0, known.number - 1)

    def overdue(self, now: float, timeout_s: float) -> list[int]:
        """Give the blocks whose acknowledgement did not come in time; they, and the step, are due again.

        A block waits behind those that were sent before it, and on a slow link that takes long: as long as these are
        acknowledged one by one its time begins anew. It does not once a block that was sent after it is there.
        """
        if self.step.at and now - self.step.at >= timeout_s:
            self.step.at = 0.0
        late = [index for index, attempt in self.sent.items() if attempt.at and now - self._since(attempt) >= timeout_s]
        for index in late:
            self.sent[index].at = 0.0
        if late:
            self.window.lost()
        return late

    def is_exhausted(self, attempts: int) -> bool:
        """Say whether a block was sent as often as may be and is due again, or the step was."""
        if self.corrections >= attempts:
            return True
        if self.phase is Phase.SENDING:
            return any(attempt.number >= attempts and not attempt.at for attempt in self.sent.values())
        return self.step.number >= attempts and not self.step.at

    def resume(self) -> None:
        """Begin anew after an interruption: ask the vehicle what it has. Attempts from before do not count."""
        self.paused = False
        self.sent.clear()
        self.window = Window()
        self.enter(Phase.STARTING)

    def _since(self, attempt: Attempt) -> float:
        return attempt.at if attempt.at < self.overtaken_at else max(attempt.at, self.heard_at)
