"""One line of messages for a local service, and who calls the service with them, one after the other.

A line's next call begins when the one before it was answered; a service that is down, or says later, is called again
until the message's time is over (delivery.py says which answers are which). An address that has changed is used from
the next call on.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sota.boundaries.binding.decorators import calls
from sota.kit.http.client import Response
from sota.rvi import counters
from sota.rvi.message import Message, Peer

if TYPE_CHECKING:
    from sota.rvi.callback import Address

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
TAKEN = Response(200, {}, b"")
"""The answer of a service that gives none (over a WebSocket): it has been given the message."""

Answer = asyncio.Future[Response | None]
"""How a service answered a message, None if it never did."""


def is_answer(response: Response | None) -> bool:
    """Say whether somebody answered who is the service."""
    if response is None or response.status in (429, 503):
        return False
    # A 404 that is no JSON-RPC says that the path is gone: the program was started anew and has yet to register.
    return response.status != 404 or b'"jsonrpc"' in response.body


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How local services are called: time for an answer, bytes that may wait for one, whether calls name the peer."""

    timeout_s: float
    queue_bytes: int
    name_peer: bool = True


class ServiceQueue:
    """Messages that wait for one caller; ``removed`` is called for each that waits no more."""

    def __init__(
        self, local_name: str, address: Address, options: CallOptions, removed: Callable[[Message], None]
    ) -> None:
        self._local_name = msgspec.json.encode(local_name)
        self._address, self._options, self._removed = address, options, removed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[Message, Answer | None]] = deque()
        self._busy = self._closed = False
        self._pause = FIRST_PAUSE_S
        self._retry: asyncio.TimerHandle | None = None
        self._peer: Peer | None = None
        self._tail = b"}}"
        self._use(address)

    def __len__(self) -> int:
        return len(self._queue)

    def move(self, address: Address) -> None:
        """Call another address from now on."""
        self._address = address
        if not self._busy:
            self._go_on()

    def put(self, message: Message, answer: Answer | None) -> None:
        """Add a message; ``answer`` is told what became of it."""
        self._queue.append((message, answer))
        if not self._busy and self._retry is None:
            self._go_on()

    def close(self) -> list[Message]:
        """Stop calling; gives the messages that were not delivered."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._channel.close()
        left = [message for message, _ in self._queue]
        for _, answer in self._queue:
            tell(answer, None)
        self._queue.clear()
        return left

    # The next one, and the next

    def _use(self, address: Address) -> None:
        self._channel = address.channel(self._options.timeout_s)
        prefix = self._channel.envelope.replace(b"%b", b"message")
        self._head = b'%b{"service_name":%b,"parameters":' % (prefix, self._local_name)

    def _go_on(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        while self._queue and not self._busy and not self._closed:
            if self._address.url != self._channel.url:
                self._channel.close()
                self._use(self._address)
            message, answer = self._queue[0]
            if message.is_over:
                counters.EXPIRED.inc()
                self._remove(message, answer, None)
                continue
            self._busy = True
            if self._call(message):
                self._busy = False
                counters.DELIVERED.inc()
                self._remove(message, answer, TAKEN)

    @calls(
        "WL-B7-3",
        "WL-B7-7",
        "X-B7-1",
        "X-B7-10",
        "X-B7-12",
        "X-B7-13",
        "X-B7-30",
        "WL-B9-1",
        "WL-B9-3",
        "WL-B9-4",
        "WL-B9-5",
        "WL-B9-7",
        "X-B9-2",
        "X-B9-14",
        "X-B9-31",
    )
    def _call(self, message: Message) -> bool:
        peer = message.peer if self._options.name_peer else None
        if peer is not self._peer:
            self._peer = peer
            self._tail = b',"peer":%b}}' % msgspec.json.encode(peer) if peer is not None else b"}}"
        return self._channel.call((self._head, message.parameters, self._tail), self._answered)

    def _answered(self, response: Response | None) -> None:
        self._busy = False
        if self._closed:
            return
        if not is_answer(response):
            if self._address.url != self._channel.url:
                self._go_on()
                return
            pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            self._retry = self._loop.call_later(pause, self._go_on)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            return
        self._pause = FIRST_PAUSE_S
        counters.DELIVERED.inc()
        self._remove(*self._queue[0], response)
        if self._queue:
            self._go_on()

    def _remove(self, message: Message, answer: Answer | None, response: Response | None) -> None:
        self._queue.popleft()
        if message.confirm is not None:
            message.settle()
        if answer is not None:
            tell(answer, response)
        self._removed(message)


def tell(answer: Answer | None, response: Response | None) -> None:
    """Say to who waits for it how a message was answered."""
    if answer is not None and not answer.done():
        answer.set_result(response)
