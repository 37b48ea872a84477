"""Callbacks to the local services: each message is an HTTP call to the address that the service registered.

Rules kept here:

* one service's messages arrive in their order: the next call begins when the one before it was answered. Services do
  not wait for one another; one that hangs delays nobody else;
* a service that is down, refuses the connection, or answers 503 is called again until the message's time is over. So
  a message may arrive twice, and never silently not at all;
* any other answer is the service's own and is final; it is handed back to who sent the message, where that is possible;
* what waits in memory is bounded: then ``offer`` says no, and the node stores the message.

A program may register anew at any time, with another address: what waits goes there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import msgspec

from sota.boundaries.interaction import calls
from sota.kit.errors import Invalid, Unavailable
from sota.kit.http_client import HttpClient, Response
from sota.rvi import counters
from sota.rvi.message import Message

HEADERS = {"content-type": "application/json"}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
CONNECTIONS = 256
NOTICE_NAMES = 500
MAX_ADDRESS_LENGTH = 2048


Answer = asyncio.Future[Response | None]
"""How a service answered a message, None if it never did."""


class Address:
    """Where a service is called."""

    def __init__(self, url: str, client: HttpClient, path: str) -> None:
        self.url, self.client, self._path = url, client, path

    @calls("X-B7-11", "X-B9-11")
    async def call(self, body: bytes, timeout_s: float) -> Response | None:
        """Make a callback; None if nobody answered it who is the service."""
        try:
            response = await self.client.request("POST", self._path, body=body, headers=HEADERS, timeout_s=timeout_s)
        except Unavailable:
            return None
        # A 404 that is no JSON-RPC says that the path is gone: the program was started anew and has yet to register.
        gone = response.status == 404 and b'"jsonrpc"' not in response.body
        return None if gone or response.status in (429, 503) else response


class LocalService:
    """One registered service and the messages that wait for it."""

    def __init__(self, name: str, local_name: str, address: Address, *, timeout_s: float, queue_bytes: int) -> None:
        self.name = name
        self._local_name = msgspec.json.encode(local_name)
        self._timeout_s, self._limit = timeout_s, queue_bytes
        self._queue: deque[tuple[Message, Answer | None]] = deque()
        self._bytes = 0
        self.worker: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.address = address
        self.is_open = True

    def move(self, address: Address) -> None:
        """Call another address from now on."""
        self.address = address
        self._changed.set()

    def offer(self, message: Message, answer: Answer | None = None) -> bool:
        """Take a message for this service; False if too much waits already."""
        if not self.is_open:
            return False
        if self._queue and self._bytes + message.size > self._limit:
            self._room.clear()
            return False
        self._queue.append((message, answer))
        self._bytes += message.size
        if self.worker is None:
            self.worker = asyncio.create_task(self._work(), name=f"deliver:{self.name}")
        return True

    async def writable(self, timeout_s: float) -> bool:
        """Wait until a message may be offered; False if the time is over or the service gone."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.wait()
        except TimeoutError:
            return False
        return self.is_open

    async def close(self) -> list[Message]:
        """Stop calling; gives the messages that were not delivered."""
        self.is_open = False
        self._room.set()
        if self.worker is not None:
            self.worker.cancel()
            await asyncio.gather(self.worker, return_exceptions=True)
        left = [message for message, _ in self._queue]
        for _, answer in self._queue:
            _tell(answer, None)
        self._queue.clear()
        return left

    async def _work(self) -> None:
        while self._queue:
            message, answer = self._queue[0]
            response = await self._deliver(message)
            self._queue.popleft()
            self._bytes -= message.size
            if self._bytes <= self._limit // 2:
                self._room.set()
            _tell(answer, response)
        self.worker = None

    async def _deliver(self, message: Message) -> Response | None:
        pause = FIRST_PAUSE_S
        while time.time() < message.deadline:
            response = await self._call(message)
            if response is not None:
                counters.DELIVERED.inc()
                return response
            self._changed.clear()
            try:
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):  # noqa: S311  jitter, no secret
                    await self._changed.wait()
            except TimeoutError:
                pause = min(pause * 2, LONGEST_PAUSE_S)
        counters.EXPIRED.inc()
        return None

    @calls("WL-B7-3", "WL-B7-7", "X-B7-1", "X-B7-10", "WL-B9-1", "WL-B9-3", "WL-B9-4", "WL-B9-5", "WL-B9-7", "X-B9-2")
    async def _call(self, message: Message) -> Response | None:
        peer = b',"peer":' + msgspec.json.encode(message.peer) if message.peer is not None else b""
        body = b'{"jsonrpc":"2.0","id":1,"method":"message","params":{"service_name":%b,"parameters":%b%b}}' % (
            self._local_name,
            message.parameters,
            peer,
        )
        return await self.address.call(body, self._timeout_s)


class Notifier:
    """Tells one address which services come and go. Only the newest state of each name waits."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._waiting: dict[str, bool] = {}
        self._worker: asyncio.Task[None] | None = None

    def notify(self, names: Iterable[str], *, available: bool) -> None:
        """Tell of these names as soon as the address takes it."""
        for name in names:
            self._waiting.pop(name, None)
            self._waiting[name] = available
        if self._worker is None and self._waiting:
            self._worker = asyncio.create_task(self._work(), name="notify")

    def stop(self) -> None:
        """Tell nothing more."""
        if self._worker is not None:
            self._worker.cancel()

    async def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while self._waiting:
            names, available = self._take()
            if await self._call(names, available=available) is not None:
                pause = FIRST_PAUSE_S
                continue
            # Names that changed meanwhile are news already; the others are told again, before them.
            self._waiting = {**dict.fromkeys((n for n in names if n not in self._waiting), available), **self._waiting}
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
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
        method = "services_available" if available else "services_unavailable"
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"services": names}})
        return await self._address.call(body, self._timeout_s)


class LocalServices:
    """The services registered at this node."""

    def __init__(self, prefix_path: str, *, timeout_s: float, queue_bytes: int) -> None:
        self._prefix = prefix_path
        self._timeout_s, self._queue_bytes = timeout_s, queue_bytes
        self._services: dict[str, LocalService] = {}
        self._clients: dict[str, HttpClient] = {}
        self._notifiers: dict[str, Notifier] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def find(self, name: str) -> LocalService | None:
        """Find a service by its full name."""
        return self._services.get(name)

    async def register(self, name: str, url: str) -> bool:
        """Register a service, or its new address; True if the node did not have it.

        Raises:
            Invalid: the address is not one that can be called.
        """
        address = self._address(url)
        known = self._services.get(name)
        if known is not None:
            if known.address.url != url:
                known.move(address)
                await self._drop_unused()
            return False
        local_name = "/" + name.removeprefix(self._prefix).removeprefix("/")
        self._services[name] = LocalService(
            name, local_name, address, timeout_s=self._timeout_s, queue_bytes=self._queue_bytes
        )
        return True

    async def unregister(self, name: str) -> list[Message]:
        """Remove a service; gives the messages that were not delivered."""
        service = self._services.pop(name, None)
        if service is None:
            return []
        left = await service.close()
        await self._drop_unused()
        return left

    def notify(self, names: Iterable[str], *, available: bool) -> None:
        """Tell every registered address, except the one whose services these are."""
        names = list(names)
        addresses = {service.address.url: service.address for service in self._services.values()}
        for url, address in addresses.items():
            others = [name for name in names if not self._is_at(name, url)]
            if others:
                notifier = self._notifiers.setdefault(url, Notifier(address, self._timeout_s))
                notifier.notify(others, available=available)

    async def drain(self, timeout_s: float) -> list[Message]:
        """Give deliveries time to end, stop all, and give what was not delivered."""
        workers = [worker for service in self._services.values() if (worker := service.worker) is not None]
        if workers:
            await asyncio.wait(workers, timeout=timeout_s)
        for notifier in self._notifiers.values():
            notifier.stop()
        left: list[Message] = []
        for service in self._services.values():
            left += await service.close()
        for client in self._clients.values():
            await client.close()
        return left

    def _is_at(self, name: str, url: str) -> bool:
        service = self._services.get(name)
        return service is not None and service.address.url == url

    def _address(self, url: str) -> Address:
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > MAX_ADDRESS_LENGTH:
                raise ValueError(url)
            base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            client = self._clients.get(base) or HttpClient(base, timeout_s=self._timeout_s, pool=CONNECTIONS)
        except ValueError:
            raise Invalid(f"{url[:100]!r} is no address that a node can call: write http://host:port/path") from None
        self._clients[base] = client
        return Address(url, client, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    async def _drop_unused(self) -> None:
        addresses = [service.address for service in self._services.values()]
        urls = {address.url for address in addresses}
        for url in [url for url in self._notifiers if url not in urls]:
            self._notifiers.pop(url).stop()
        for base in [base for base, client in self._clients.items() if all(a.client is not client for a in addresses)]:
            await self._clients.pop(base).close()


def _tell(answer: Answer | None, response: Response | None) -> None:
    if answer is not None and not answer.done():
        answer.set_result(response)
