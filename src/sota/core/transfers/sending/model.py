"""A transfer: which blocks a vehicle has, and which one to send next. Nothing here does I/O.

Rules kept here:

* the lowest block that is not yet acknowledged is sent first, and at most ``window`` blocks are in flight (the original
  protocol is 1);
* a block that is acknowledged is never sent again;
* a block is sent again when it times out, ``attempts`` times in all; then the download is given up. While earlier
  blocks are acknowledged its time does not run: a slow link is not a silent one;
* the vehicle has the last word about what it has: a ``finish`` that it answers with missing blocks takes them back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from sota.boundaries.values import DownloadIdentity
from sota.core.transfers.model import Download, DownloadMessage
from sota.core.transfers.sending.window import Window
from sota.kit.ranges import Ranges


class Phase(StrEnum):
    """What a transfer waits for: the first acknowledgement, those of blocks, or that of ``finish``."""

    STARTING = "starting"
    SENDING = "sending"
    FINISHING = "finishing"


@dataclass(slots=True)
class Attempt:
    """When a message was sent last, and how often."""

    at: float
    number: int


@dataclass(slots=True)
class Transfer:
    """One download under way, in the memory of the Core that drives it; the database holds its acknowledgements."""

    download: Download
    received: Ranges
    phase: Phase = Phase.STARTING
    sent: dict[int, Attempt] = field(default_factory=dict)
    step: Attempt = field(default_factory=lambda: Attempt(0.0, 0))
    corrections: int = 0
    is_queued: bool = False
    paused: bool = False
    heard_at: float = 0.0
    overtaken_at: float = 0.0
    waiting_answers: int = 0
    window: Window = field(default_factory=Window)
    identity: DownloadIdentity = field(init=False)
    identity_json: bytes = field(init=False)
    """Encoded once for all blocks."""

    def __post_init__(self) -> None:
        """Compute what each message carries and is compared with."""
        self.identity = self.download.identity
        self.identity_json = msgspec.json.encode(self.identity)

    def is_meant_by(self, claim: DownloadMessage) -> bool:
        """Report whether a message of the vehicle is about this download, in the vehicle's present life."""
        return claim.epoch == self.download.epoch and claim.identity == self.identity

    def is_of(self, download: Download) -> bool:
        """Report whether this is the transfer of a download, in the vehicle's present epoch."""
        return download.epoch == self.download.epoch and download.identity == self.identity

    @property
    def is_complete(self) -> bool:
        """Whether every block is acknowledged."""
        return len(self.received) >= self.download.block_count

    def acknowledged(self, ranges: Ranges, now: float = 0.0) -> bool:
        """Add acknowledged blocks, which are no longer in flight; return whether any of them is new."""
        received = self.received.union(ranges)
        if received == self.received:
            return False
        self.received, self.heard_at = received, now
        taken = [self.sent.pop(index) for index in [index for index in self.sent if index in received]]
        if taken:
            self.overtaken_at = max(self.overtaken_at, *(attempt.at for attempt in taken))
        plain = [attempt.at for attempt in taken if attempt.number == 1 and attempt.at]
        if plain:  # which sending of a repeated block is acknowledged cannot be known
            self.window.acknowledged(now - max(plain), len(plain))
        return True

    def correct(self, ranges: Ranges) -> None:
        """Accept the vehicle's answer to ``finish``: it has these blocks and no others."""
        self.received = ranges
        self.corrections += 1
        self.sent.clear()
        self.enter(Phase.SENDING)

    def enter(self, phase: Phase) -> None:
        """Enter a phase; its attempts are counted from zero."""
        self.phase, self.step = phase, Attempt(0.0, 0)

    def next_block(self, window: int) -> int | None:
        """Return the lowest block to send; None when the window is full or nothing is left."""
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
        """Note that a block is sent now."""
        known = self.sent.get(index)
        self.sent[index] = Attempt(now, known.number + 1 if known else 1)

    def take_back(self, index: int) -> None:
        """Note that a block was not sent after all (the node is away): this does not count as an attempt."""
        known = self.sent.get(index)
        if known is not None:
            self.sent[index] = Attempt(0.0, known.number - 1)

    def overdue(self, now: float, timeout_s: float) -> list[int]:
        """Return the blocks whose acknowledgement did not come in time; they, and the step, are due again.

        On a slow link a block waits long behind those sent before it. So its time starts again whenever one of these is
        acknowledged, but not once a block that was sent after it is acknowledged.
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
        """Report whether a block or the step was sent ``attempts`` times and is due again."""
        if self.corrections >= attempts:
            return True
        if self.phase is Phase.SENDING:
            return any(attempt.number >= attempts and not attempt.at for attempt in self.sent.values())
        return self.step.number >= attempts and not self.step.at

    def resume(self) -> None:
        """Start again after an interruption: ask the vehicle what it has. Earlier attempts do not count."""
        self.paused = False
        self.sent.clear()
        self.window = Window()
        self.enter(Phase.STARTING)

    def _since(self, attempt: Attempt) -> float:
        return attempt.at if attempt.at < self.overtaken_at else max(attempt.at, self.heard_at)
