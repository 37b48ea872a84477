"""What a real rvi_core does not survive, and how our node spares it: records, early ends, repeated messages."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sota.kit.files.durable import write_atomic
from sota.rvi.codec import JSON, MSGPACK, Codec, Decoder, Packet
from sota.rvi.credentials import Identity
from sota.rvi.fragment import MAX_PIECE_BYTES
from sota.rvi.link import client_context
from sota.rvi.message_store import MAX_BREAKS
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    EdgeCaller,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    credential_id,
    running,
    token,
    wait_until,
)

NOTIFY, START = f"{VEHICLE}/notify", f"{VEHICLE}/start"
RECORD_BYTES = 1 << 14


class RecordPeer:
    """A TLS peer that sees each TLS record separately, as a real node's packet parser does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
        self._reader, self._writer = reader, writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._in, self._out)

    @classmethod
    async def connect(cls, port: int, identity: Path) -> RecordPeer:
        peer = cls(
            *await asyncio.open_connection("127.0.0.1", port), client_context(Identity.read(identity, time.time()))
        )
        await peer._try(peer._tls.do_handshake)
        return peer

    async def _try(self, step: Any, *arguments: Any) -> Any:
        async with asyncio.timeout(20):
            while True:
                try:
                    result = step(*arguments)
                except ssl.SSLWantReadError:
                    self._flush()
                    self._in.write(await self._reader.read(1 << 16))
                else:
                    self._flush()
                    return result

    def _flush(self) -> None:
        if content := self._out.read():
            self._writer.write(content)

    async def send(self, content: bytes) -> None:
        await self._try(self._tls.write, content)

    async def record(self) -> bytes:
        """The next record's content."""
        content: bytes = await self._try(self._tls.read, RECORD_BYTES)
        return content

    async def piece(self, codec: Codec) -> tuple[int, int, int, bytes]:
        """Read the next piece, which must be one record; skip other records."""
        while True:
            packets = list(Decoder(codec, 1 << 20).feed(await self.record()))
            if any(packet.frg for packet in packets):
                (packet,) = packets
                return codec.decode_fragment(packet.frg)

    def close(self) -> None:
        self._writer.close()


def greeting(codec: Codec, identity: Path) -> bytes:
    return codec.encode({"cmd": "au", "ver": "1.0", "creds": [token(identity)]}) + codec.encode(
        {"cmd": "sa", "stat": "av", "svcs": [NOTIFY, START]}
    )


async def send(core: EdgeCaller, service: str, parameters: Any) -> None:
    await core.result("message", {"service_name": service, "timeout": int(time.time()) + 300, "parameters": parameters})


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize("asked", [[], 64 << 10], ids=["all the rest", "64 KiB"])
async def test_a_real_peer_over_tls_gets_pieces_that_are_one_record_each(
    codec: Codec, asked: Any, identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await RecordPeer.connect(settings.tls_port, identities.vehicle())
        await peer.send(greeting(codec, identities.vehicle()))
        await wait_until(lambda: NOTIFY in node.known_services())
        await send(core, NOTIFY, {"rvi.max_msg_size": 65536, "text": '"' * 40_000})
        await send(core, START, ["small, on the way at the same time"])
        number, total, offset, body = await peer.piece(codec)
        while offset + len(body) <= total:
            assert 0 < len(body) <= MAX_PIECE_BYTES
            at = offset + len(body)
            await peer.send(codec.encode({"frg-get": [number, at, asked]}))
            await send(core, START, ["another small one"])
            _, _, offset, body = await peer.piece(codec)
            assert offset == at
        assert total > 40_000
        peer.close()


async def test_a_message_that_breaks_its_link_is_given_up_and_what_arrived_before_it_is_not_repeated(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path)
    seen: list[bytes] = []
    async with running(settings) as (node, core):
        await send(core, START, ["first"])
        await send(core, NOTIFY, {"rvi.max_msg_size": 65536, "text": "x" * 40_000})
        for connection in range(MAX_BREAKS):
            peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
            await peer.greet(token(identities.vehicle()))
            peer.send({"cmd": "sa", "stat": "av", "svcs": [START]})
            if connection == 0:
                seen.append(bytes((await peer.read()).data))
            peer.send({"cmd": "sa", "stat": "av", "svcs": [NOTIFY]})
            packet = await first_piece(peer, seen)
            number, total, _, body = MSGPACK.decode_fragment(packet.frg)
            peer.send({"frg-get": [number, len(body) + 1, total]})
            await first_piece(peer, seen)
            await peer.close()  # as a real node ends, at the last piece
            await wait_until(lambda: not node.is_connected)
        await wait_until(lambda: node.store.messages == 0, "the message is given up, the other has left the disk")
    assert len(seen) == 1, "the peer answered to what was sent after it, so it had it"


async def first_piece(peer: RawPeer, seen: list[bytes]) -> Packet:
    """Read up to the next piece; whole messages on the way are noted."""
    while not (packet := await peer.read()).frg:
        seen.append(bytes(packet.data))
    return packet


async def test_a_peer_that_is_revoked_keeps_its_tcp_link_and_has_no_rights(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    revoked = tmp_path / "revoked.txt"
    revoked.write_text("")
    settings = backend_settings(
        identities, tmp_path / "b", tls_port=0, tcp_port=free_ports(1)[0], revoked=revoked, ping_interval_s=0.1
    )
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        await peer.greet(token(identities.vehicle()))
        peer.send({"cmd": "sa", "stat": "av", "svcs": [NOTIFY]})
        await wait_until(lambda: NOTIFY in node.known_services())
        write_atomic(revoked, f"{credential_id(identities.vehicle())}\n".encode())
        await wait_until(lambda: NOTIFY not in node.known_services())
        await still_open(peer)
        again = await RawPeer.connect(settings.tcp_port, None, JSON)
        again.send({"cmd": "au", "ver": "1.1", "creds": [token(identities.vehicle())]})
        assert (await again.read()).cmd == "au"
        assert (await again.read()).svcs == [], "nothing is offered to it"
        again.send({"cmd": "sa", "stat": "av", "svcs": [NOTIFY]})
        again.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}})
        await still_open(again)
        assert (NOTIFY in node.known_services(), service.messages()) == (False, [])
        for one in (peer, again):
            await one.close()


async def still_open(peer: RawPeer) -> None:
    """Two more signs of life come: everything that was sent before has been looked at."""
    for _ in range(2):
        while (await peer.read()).cmd != "ping":
            pass


@pytest.mark.parametrize("named", [True, False])
async def test_callbacks_name_the_sender_unless_the_program_takes_two_keys_alone(
    named: bool, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path, callback_peer=named)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        peer.send({"cmd": "rcv", "data": {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}})
        (message,) = await service.wait_for(1)
        assert set(message) == {"service_name", "parameters"} | ({"peer"} if named else set())
        await peer.close()


def test_the_backends_certificate_names_the_hosts_that_a_real_node_compares(
    identities: Identities, tmp_path: Path
) -> None:
    identities.authority.issue_backend(tmp_path, hosts=["ota.example.com", "192.0.2.10"])
    context = ssl.create_default_context(cafile=str(tmp_path / "root.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "device.pem", tmp_path / "device.key")
    for host in ("ota.example.com", "192.0.2.10", "127.0.0.1", "localhost", "::1"):
        assert handshake(context, server, host), host
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context, server, "elsewhere.example.com")


@pytest.mark.parametrize("host", ["", "two words", "-x", "a..b", "https://ota.example.com"])
def test_what_is_no_host_is_refused(host: str, identities: Identities, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an IP address"):
        identities.authority.issue_backend(tmp_path, hosts=[host])


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> bool:
    """Have a client that checks host names meet a server, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    return not waiting


async def test_the_tool_of_rvi_core_is_understood_over_websocket(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    from websockets.asyncio.client import connect

    settings = backend_settings(identities, tmp_path, ws_port=free_ports(1)[0])
    async with running(settings) as (node, _):
        async with connect(f"ws://127.0.0.1:{settings.ws_port}/", compression=None) as ws:
            call = {"jsonrpc": "2.0", "id": "1", "method": "message"}
            params = {"service_name": NOTIFY, "timeout": int(time.time()) + 60}
            await ws.send(json.dumps({**call, "params": {**params, "parameters": {"x": "plain"}}}))
            await ws.send(
                json.dumps({**call, "id": "2", "params": {**params, "parameters": {"x": "1", "y": '"plain"'}}})
            )
            async with asyncio.timeout(20):
                answer = msgspec.json.decode(await ws.recv())
        assert answer == {"id": "2", "status": 0, "transaction_id": 1, "method": "message"}, "nothing for the first"
        (message,) = await node.store.next(NOTIFY)
        assert json.loads(message.parameters) == {"x": 1, "y": "plain"}
