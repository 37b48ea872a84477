"""A queue of messages for a local service, which is called with one after the other.

The next call begins when the previous one was answered. A service that is down, or asks to wait, is called again until
the message's time is over (``delivery.py`` says which answers are final). A changed address is used from the next call.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sota.boundaries.binding.decorators import calls
from sota.kit.http.client import Response
from sota.rvi import counters
from sota.rvi.message import Message
from sota.rvi.settings import NodeSettings

if TYPE_CHECKING:
    from sota.rvi.callback import Address

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
TAKEN = Response(200, {}, b"")
"""The answer of a service that gives none (over a WebSocket): the message was sent to it."""

Answer = asyncio.Future[Response | None]
"""How a service answered a message, None if it never did."""


def is_answer(response: Response | None) -> bool:
    """Report whether a response is the service's own answer, and so final."""
    if response is None or response.status in (429, 503):
        return False
    # A 404 without JSON-RPC means that the path is gone: the program was restarted and has yet to register.
    return response.status != 404 or b'"jsonrpc"' in response.body


class ServiceQueue:
    """Messages that wait for one caller; ``removed`` is called for each that no longer waits."""

    def __init__(
        self, local_name: str, address: Address, settings: NodeSettings, removed: Callable[[Message], None]
    ) -> None:
        self._local_name = msgspec.json.encode(local_name)
        self._address, self._settings, self._removed = address, settings, removed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[Message, Answer | None]] = deque()
        self._busy = self._closed = False
        self._pause = FIRST_PAUSE_S
        self._retry: asyncio.TimerHandle | None = None
        self._use(address)

    def move(self, address: Address) -> None:
        """Call another address from now on."""
        self._address = address
        if not self._busy:
            self._call_next()

    def put(self, message: Message, answer: Answer | None) -> None:
        """Add a message; ``answer`` gets the service's answer."""
        self._queue.append((message, answer))
        if not self._busy and self._retry is None:
            self._call_next()

    def close(self) -> list[Message]:
        """Stop calling; returns the undelivered messages."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._channel.close()
        left = [message for message, _ in self._queue]
        for _, answer in self._queue:
            resolve(answer, None)
        self._queue.clear()
        return left

    def _use(self, address: Address) -> None:
        self._channel = address.channel(self._settings.callback_timeout_s)
        prefix = self._channel.envelope.replace(b"%b", b"message")
        self._head = b'%b{"service_name":%b,"parameters":' % (prefix, self._local_name)

    def _call_next(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        while self._queue and not self._busy and not self._closed:
            if self._address.url != self._channel.url:
                self._channel.close()
                self._use(self._address)
            message, answer = self._queue[0]
            if message.is_over:
                counters.MESSAGES["expired"] += 1
                self._remove(message, answer, None)
                continue
            self._busy = True
            if self._call(message):
                self._busy = False
                counters.MESSAGES["delivered"] += 1
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
        peer = message.peer if self._settings.callback_peer else None
        tail = b',"peer":%b}}' % msgspec.json.encode(peer) if peer is not None else b"}}"
        return self._channel.call((self._head, message.parameters, tail), self._answered)

    def _answered(self, response: Response | None) -> None:
        self._busy = False
        if self._closed:
            return
        if is_answer(response):
            self._pause = FIRST_PAUSE_S
            counters.MESSAGES["delivered"] += 1
            self._remove(*self._queue[0], response)
        elif self._address.url == self._channel.url:
            pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            self._retry = self._loop.call_later(pause, self._call_next)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            return
        self._call_next()

    def _remove(self, message: Message, answer: Answer | None, response: Response | None) -> None:
        self._queue.popleft()
        message.settle()
        resolve(answer, response)
        self._removed(message)


def resolve(answer: Answer | None, response: Response | None) -> None:
    """Pass a service's answer to the task that waits for it, if one does."""
    if answer is not None and not answer.done():
        answer.set_result(response)
