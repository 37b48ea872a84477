"""A million inputs each for the link's two languages and for both edges: no crash, no growth of memory, none stuck.

``make fuzz`` takes them all; ``make test`` a seeded sample. Inputs are what real nodes and programs say, with bytes
changed, cut, repeated and put together; each input is a whole connection, so that states of the reader are met, too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings

from sota.boundaries.authority import Authority, Grant
from sota.kit.http.json_server import JsonConnection
from sota.rvi.codec import JSON, MSGPACK, Decoder, pack
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import Identity
from sota.rvi.link import Link
from sota.rvi.message import Message
from sota.rvi.names import ServiceTable
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings
from sota.rvi.splitter import CodecError
from sota.rvi.websocket import SocketProtocol
from tests.support.processes import free_ports

pytestmark = pytest.mark.slow

SAMPLE, ALL = 3_000, 1_000_000
GROWN_BLOCKS = 20_000  # of memory, as the interpreter counts them
LONGEST_S = 1.0
DAY = timedelta(days=1)
VIN = "WVW00000000000001"
REPORT = "genivi.org/backend/sota/report"

PACKETS: list[dict[str, Any]] = [
    {"cmd": "au", "ver": "1.0", "creds": ["a.b.c"], "rvi_log_id": "conn:1-0ha0"},
    {"cmd": "au", "ver": "1.1", "creds": [], "ack": True},
    {"cmd": "sa", "stat": "av", "svcs": [f"genivi.org/vin/{VIN}/sota/notify"]},
    {"cmd": "sa", "stat": "un", "svcs": [f"genivi.org/vin/{VIN}/sota/notify", "x" * 300]},
    {"tid": 1, "cmd": "rcv", "mod": "x", "data": {"service": REPORT, "timeout": 1, "parameters": [{"a": "é😀"}]}},
    {"tid": 2, "cmd": "rcv", "mod": "x", "ack": 7, "data": {"service": REPORT, "timeout": -1, "parameters": [None]}},
    {"cmd": "ping"},
    {"cmd": "ack", "ids": [1, 2, -3, "x", None]},
    {"frg": [1, 671, 1, "piece"]},
    {"frg": [1, 10, 6, "piece"]},
    {"frg-get": [1, 79, []]},
    {"frg-get": [1, 79, 78]},
    {"frg-end": [1, 0]},
    {"cmd": "cre"},
]


def inputs_count() -> int:
    return ALL if settings.get_current_profile_name() == "fuzz" else SAMPLE


def seed() -> int:
    return random.randrange(1 << 32) if settings.get_current_profile_name() == "fuzz" else 20_260_101


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Put seeds together and spoil them a little."""
    content = bytearray(b"".join(chance.choice(seeds) for _ in range(chance.randint(1, 4))))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(content)) if content else 0
        match chance.randrange(6):
            case 0:
                content[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del content[at : at + chance.randint(1, 20)]
            case 2:
                content[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                content[at:at] = content[at : at + 30]
            case 4:
                content[at:at] = chance.choice(
                    (b"\xdd\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"[" * 120, b'"', b"\\")
                )
            case _:
                del content[at:]
    return bytes(content)


def pieces(chance: random.Random, content: bytes) -> Iterator[bytes]:
    while content:
        size = chance.choice((1, 7, 64, len(content)))
        yield content[:size]
        content = content[size:]


async def held(work: Callable[[], None], share: int = 1) -> None:
    """Do the work for every input, or for a share of them.

    Memory must not grow after the first tenth, and no input may take long.
    """
    count, slowest, before = inputs_count() // share, 0.0, 0
    for number in range(count):
        if number == count // 10:  # what is made once is there by now
            gc.collect()
            before = sys.getallocatedblocks()
        began_at = time.process_time()
        work()
        slowest = max(slowest, time.process_time() - began_at)
        if number % 100 == 0:
            await asyncio.sleep(0.001)  # what was queued meanwhile is done
    await asyncio.sleep(0.1)
    gc.collect()
    assert sys.getallocatedblocks() - before < GROWN_BLOCKS
    assert slowest < LONGEST_S


class Wire(asyncio.Transport):
    """A transport whose other side reads everything."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None:
        assert isinstance(data, bytes)

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def abort(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("codec", [JSON, MSGPACK, None], ids=["json", "msgpack", "mixed"])
@pytest.mark.hypothesis
def test_a_million_inputs_of_a_link_give_packets_or_one_error(codec: Any) -> None:
    chance = random.Random(seed())
    seeds = [pack(packet) for packet in PACKETS] if codec is not JSON else []
    seeds += [JSON.encode(packet) for packet in PACKETS] if codec is not MSGPACK else []

    def work() -> None:
        decoder = Decoder(codec, limit=4096)
        try:
            for piece in pieces(chance, mutated(chance, seeds)):
                for packet in decoder.feed(piece):
                    spoken = decoder.codec or JSON
                    if packet.data and (data := spoken.decode_data(packet.data)) is not None:
                        spoken.parameters_json(data.parameters)
        except CodecError:
            pass

    asyncio.run(held(work, share=3))


@pytest.fixture(scope="module")
def backend_identity(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    authority.issue_backend(folder)
    return folder


class Quiet:
    """An owner of connections, and a log, that take everything."""

    def local_services(self) -> list[str]:
        return [REPORT]

    def opened(self, connection: PeerConnection) -> bool:
        return True

    def announced(self, connection: PeerConnection, names: list[str]) -> None:
        assert not names, "no peer here has a right to receive"

    def withdrawn(self, connection: PeerConnection, names: list[str]) -> None:
        pass

    def received(self, connection: PeerConnection, message: Message) -> None:
        raise AssertionError("no peer here has a right to invoke")

    def closed(self, connection: PeerConnection) -> None:
        pass

    def info(self, *_: Any, **__: Any) -> None:
        pass

    warning = error = info


class Talkative(Quiet):
    """One whose peers have rights: it takes what they send, and sends to what they announce."""

    def announced(self, connection: PeerConnection, names: list[str]) -> None:
        for name in names:
            connection.offer(Message(name, b'[{"a":1}]', 1, 0.0))
            connection.offer(Message(name, b'{"rvi.max_msg_size":40,"text":"in pieces"}', 1, 0.0))
            connection.offer(Message(name, b"[2]", 1, 0.0))

    def received(self, connection: PeerConnection, message: Message) -> None:
        assert message.service.startswith("genivi.org/backend/sota/")
        message.settle()


@pytest.mark.parametrize("owner", [Quiet(), Talkative()], ids=["strangers", "vehicles"])
@pytest.mark.hypothesis
def test_hostile_peers_cost_their_connection_only(owner: Quiet, backend_identity: Path, authority: Authority) -> None:
    chance = random.Random(seed())
    seeds = [pack(packet) for packet in PACKETS] + [JSON.encode(packet) for packet in PACKETS]
    greeting = b""
    if isinstance(owner, Talkative):
        now = datetime.now(UTC)
        vehicle = Grant(VIN, [f"genivi.org/vin/{VIN}/"], ["genivi.org/backend/"], now - DAY, now + DAY)
        token = authority.sign_credential(vehicle, authority.sign_device(VIN)[1])
        greeting = JSON.encode({"cmd": "au", "ver": "1.1", "creds": [token], "ack": True})
        # Greeted again without rights a peer would have none for the rest of its packets.
        seeds = [content for content in seeds if b"creds" not in content]

    async def attack() -> None:
        settings_ = NodeSettings(identity=backend_identity, max_message=4096)
        context = LinkContext(
            settings_,
            Identity.read(backend_identity, time.time()),
            ServiceTable(),
            owner,
            cast("Any", owner),
            confirms=True,
        )
        assert Link(context).connections == set()

        def work() -> None:
            connection = PeerConnection(context, None, secure=True, initiator=False)
            connection._secure = False
            wire = Wire()
            connection.connection_made(wire)
            if greeting:
                connection.data_received(greeting)
            for piece in pieces(chance, mutated(chance, seeds)):
                if not wire.closed:
                    connection.data_received(piece)
            connection.tick(0.0)
            connection.take_unconfirmed()
            connection.connection_lost(None)

        await held(work)

    asyncio.run(attack())


REQUESTS = [
    b'{"jsonrpc":"2.0","id":1,"method":"%b","params":%b}' % (method, params)
    for method, params in (
        (b"get_available_services", b"{}"),
        (b"get_node_service_prefix", b'{"full":false}'),
        (b"unregister_service", b'{"service":"x"}'),
        (b"register_service", b'{"service":"/sota/unknown","network_address":"http://127.0.0.1:1/"}'),
        (b"message", b'{"service_name":"genivi.org/x","timeout":5000,"parameters":[{}]}'),
        (b"message", b'{"service_name":"%b","timeout":-1,"parameters":[{}]}' % REPORT.encode()),
        (b"schedule_update", b"[]"),
    )
]


@pytest.mark.hypothesis
def test_a_million_requests_to_the_edge_are_answered_or_refused(
    backend_identity: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed())
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    seeds = [head % (len(body), body) for body in REQUESTS]
    seeds.append(seeds[0].replace(b"Host: x", b"Connection: Upgrade\r\nUpgrade: h2c"))
    seeds.append(b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n1}\n\r\n0\r\n\r\n')

    async def attack() -> None:
        folder = tmp_path_factory.mktemp("data")
        node = Node(NodeSettings(identity=backend_identity, data=folder, edge_port=0, tls_port=0, max_message=4096))
        await node.start()

        def work() -> None:
            protocol = JsonConnection(node._edge)
            wire = Wire()
            protocol.connection_made(wire)
            for piece in pieces(chance, mutated(chance, seeds)):
                at = 0
                while at < len(piece) and not wire.closed:
                    room = protocol.get_buffer(len(piece) - at)
                    count = min(len(room), len(piece) - at)
                    room[:count] = piece[at : at + count]
                    at += count
                    protocol.buffer_updated(count)
            protocol.connection_lost(None)

        await held(work)
        assert node.known_services() == []
        await node.stop()

    asyncio.run(attack())


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXTS = [
    b'{"json-rpc":"2.0","id":"1","method":"%b","params":%b}' % (method, params)
    for method, params in (
        (b"get_available_services", b"{}"),
        (b"register_service", b'{"service_name":"/sota/unknown"}'),
        (b"unregister_service", b'"{\\"service_name\\":\\"x\\"}"'),
        (b"message", b'{"service_name":"genivi.org/x","timeout":5000,"parameters":{"a":"1"}}'),
    )
]


@pytest.mark.hypothesis
def test_a_million_sockets_to_the_edge_are_answered_or_closed(
    backend_identity: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed())
    seeds = [b"\x81" + bytes((0x80 | len(text), 0, 0, 0, 0)) + text for text in TEXTS if len(text) < 126]
    seeds += [REQUESTS[0], b"\x01\x80\0\0\0\0\x80\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8"]

    async def attack() -> None:
        folder, (port,) = tmp_path_factory.mktemp("data"), free_ports(1)
        node = Node(NodeSettings(identity=backend_identity, data=folder, edge_port=0, tls_port=0, ws_port=port))
        await node.start()
        assert node._sockets is not None
        server = node._sockets

        def work() -> None:
            protocol, wire = SocketProtocol(server), Wire()
            protocol.connection_made(wire)
            begin = UPGRADE if chance.random() < 0.9 else mutated(chance, [UPGRADE])
            for piece in pieces(chance, begin + mutated(chance, seeds)):
                if not wire.closed:
                    protocol.data_received(piece)
            protocol.connection_lost(None)

        await held(work)
        assert (node.known_services(), server.connections) == ([], set())
        await node.stop()

    asyncio.run(attack())


def test_what_the_fuzzer_begins_with_is_spoken() -> None:
    for packet in PACKETS:
        assert len(Decoder(MSGPACK).feed(pack(packet))) == 1
        assert len(Decoder(JSON).feed(json.dumps(packet).encode())) == 1
