"""Deliveries to the local services: each message is a call to the address that the service registered.

Rules kept here:

* messages from one peer to one service arrive in order: the next call begins when the previous one was answered.
  Services do not wait for each other; a peer waits only for others in the same queue;
* a service that is down, refuses the connection, or answers 503 is called again until the message's time is over. So
  a message may arrive twice, but is never lost silently;
* any other answer is the service's own and is final; it goes back to the message's sender where that is possible;
* what waits in memory is bounded: beyond that ``offer`` returns False, and the node stores the message.

A program may register again at any time with another address; waiting messages then go there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Iterator

import msgspec

from sota.boundaries.binding.decorators import calls
from sota.kit.http.client import Response
from sota.rvi.callback import Address
from sota.rvi.message import Message
from sota.rvi.service_queue import FIRST_PAUSE_S, LONGEST_PAUSE_S, TAKEN, Answer, ServiceQueue, is_answer, resolve
from sota.rvi.settings import NodeSettings

QUEUES_PER_SERVICE = 32
"""So many calls of one service may run at once, each for other peers. A vehicle's node has one peer, and so one call.

Core commits together what arrives together: with 8 queues it committed the reports of 8 vehicles at a time.
"""

NOTICE_NAMES = 500


class LocalService:
    """One registered service and the messages that wait for it."""

    def __init__(self, name: str, local_name: str, address: Address, settings: NodeSettings) -> None:
        self.name, self.address = name, address
        self._local_name, self._settings = local_name, settings
        self._queues: dict[int, ServiceQueue] = {}
        self._bytes = self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self.idle = asyncio.Event()
        """Set while no message waits."""
        self.idle.set()
        self.is_open = True

    def move(self, address: Address) -> None:
        """Call another address from now on."""
        self.address = address
        for queue in list(self._queues.values()):
            queue.move(address)

    def offer(self, message: Message, answer: Answer | None = None) -> bool:
        """Take a message for this service; False if too much waits already."""
        if not self.is_open:
            return False
        if self._waiting and self._bytes + message.size > self._settings.local_queue:
            self._room.clear()
            return False
        self._waiting += 1
        self._bytes += message.size
        self.idle.clear()
        peer = message.peer
        # By name, not by connection: a peer that reconnects must not overtake its own messages.
        number = 0 if peer is None else hash(peer.vin or peer.credential) % QUEUES_PER_SERVICE
        queue = self._queues.get(number)
        if queue is None:
            queue = self._queues[number] = ServiceQueue(self._local_name, self.address, self._settings, self._removed)
        queue.put(message, answer)
        return True

    async def writable(self, timeout_s: float) -> bool:
        """Wait until a message may be offered; False if the time is over or the service gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._room.wait()
        return self._room.is_set() and self.is_open

    def close(self) -> list[Message]:
        """Stop calling; returns the undelivered messages, those of each peer in order."""
        self.is_open = False
        self._room.set()
        self.idle.set()
        return [message for queue in self._queues.values() for message in queue.close()]

    def _removed(self, message: Message) -> None:
        self._waiting -= 1
        self._bytes -= message.size
        if self._bytes <= self._settings.local_queue // 2:
            self._room.set()
        if not self._waiting:
            self.idle.set()


class AvailabilityNotifier:
    """Notifies one address of services that come and go. Only the newest state of each name waits."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._channel = address.channel(timeout_s)
        self._waiting: dict[str, bool] = {}
        self._worker: asyncio.Task[None] | None = None

    def notify(self, names: Iterable[str], *, available: bool) -> None:
        """Send these names as soon as the address takes them."""
        for name in names:
            self._waiting.pop(name, None)
            self._waiting[name] = available
        if self._worker is None and self._waiting:
            self._worker = asyncio.create_task(self._work(), name="notify")

    def stop(self) -> None:
        """Send nothing more."""
        if self._worker is not None:
            self._worker.cancel()
        self._channel.close()

    async def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while self._waiting:
            names, available = self._take()
            if is_answer(await self._call(names, available=available)):
                pause = FIRST_PAUSE_S
                continue
            # Names that changed meanwhile wait already; the others are sent again, before them.
            self._waiting = {**dict.fromkeys((n for n in names if n not in self._waiting), available), **self._waiting}
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)
        self._worker = None

    def _take(self) -> tuple[list[str], bool]:
        available = next(iter(self._waiting.values()))
        names: list[str] = []
        for name, state in self._waiting.items():
            if state is not available or len(names) == NOTICE_NAMES:
                break
            names.append(name)
        for name in names:
            del self._waiting[name]
        return names, available

    @calls("X-B7-8", "X-B7-9", "X-B9-8", "X-B9-9")
    async def _call(self, names: list[str], *, available: bool) -> Response | None:
        answer: Answer = asyncio.get_running_loop().create_future()
        method = b"services_available" if available else b"services_unavailable"
        body = b"%b%b}" % (self._channel.envelope.replace(b"%b", method), msgspec.json.encode({"services": names}))
        return TAKEN if self._channel.call((body,), lambda response: resolve(answer, response)) else await answer


class LocalServices:
    """The services registered at this node."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._services: dict[str, LocalService] = {}
        self._notifiers: dict[str, AvailabilityNotifier] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def find(self, name: str) -> LocalService | None:
        """Find a service by its full name."""
        return self._services.get(name)

    def register(self, name: str, address: Address) -> bool:
        """Register a service, or its new address; True if the node did not have it."""
        known = self._services.get(name)
        if known is not None:
            known.move(address)
            self._drop_unused()
            return False
        local_name = "/" + name.removeprefix(self._settings.prefix_path).removeprefix("/")
        self._services[name] = LocalService(name, local_name, address, self._settings)
        return True

    def unregister(self, name: str) -> list[Message]:
        """Remove a service; returns its undelivered messages."""
        service = self._services.pop(name, None)
        if service is None:
            return []
        left = service.close()
        self._drop_unused()
        return left

    def names_at(self, url: str) -> list[str]:
        """Return the names of the services at an address."""
        return [name for name, service in self._services.items() if service.address.url == url]

    def notify(self, names: Iterable[str], *, available: bool) -> None:
        """Notify every registered address, except the one that has these services."""
        names = list(names)
        addresses = {service.address.url: service.address for service in self._services.values()}
        for url, address in addresses.items():
            others = [name for name in names if not self._is_at(name, url)]
            if others:
                if url not in self._notifiers:
                    self._notifiers[url] = AvailabilityNotifier(address, self._settings.callback_timeout_s)
                self._notifiers[url].notify(others, available=available)

    async def drain(self, timeout_s: float) -> list[Message]:
        """Let deliveries end, stop all, and return the undelivered messages."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for service in self._services.values():
                    await service.idle.wait()
        for notifier in self._notifiers.values():
            notifier.stop()
        return [message for service in self._services.values() for message in service.close()]

    def _is_at(self, name: str, url: str) -> bool:
        service = self._services.get(name)
        return service is not None and service.address.url == url

    def _drop_unused(self) -> None:
        urls = {service.address.url for service in self._services.values()}
        for url in [url for url in self._notifiers if url not in urls]:
            self._notifiers.pop(url).stop()
