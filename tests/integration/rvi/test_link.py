"""The data link byte by byte, against a peer that a test speaks for: what a real rvi_core sends and expects."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from pathlib import Path
from typing import Any, cast

import pytest

from sota.rvi.codec import JSON, MSGPACK, Codec
from sota.rvi.settings import NodeSettings
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    OTHER_VIN,
    VEHICLE,
    VIN,
    EdgeCaller,
    Identities,
    RawListener,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    vehicle_settings,
    wait_until,
)


def on_tcp(identities: Identities, tmp_path: Path, **changes: Any) -> NodeSettings:
    return backend_settings(identities, tmp_path / "b", tls_port=0, tcp_port=free_ports(1)[0], **changes)


async def connect(settings: NodeSettings, identities: Identities, vin: str = VIN) -> RawPeer:
    """A vehicle that has authenticated, over any transport of the node."""
    identity = identities.vehicle(vin)
    if settings.tcp_port:
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
    else:
        peer = await RawPeer.connect(settings.tls_port, identity)
    await peer.greet(token(identity))
    return peer


def rcv(service: str, parameters: Any = None, codec: str = "json") -> dict[str, Any]:
    data = {"service": service, "timeout": int(time.time() * 1000) + 60_000, "parameters": parameters or [{"a": 1}]}
    return {"tid": 1, "cmd": "rcv", "mod": f"proto_{codec}_rpc", "data": data}


async def test_the_greeting_over_tcp_is_that_of_a_real_node(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings):
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        creds = f'"{token(identities.vehicle())}"'
        peer.send_raw(f'{{"cmd":"au","ver":"1.1","creds":[{creds}],"rvi_log_id":"conn:1-0ha0"}}'.encode())
        await peer.read()
        await peer.read()
        own = token(identities.backend)
        expected = f'{{"cmd":"au","ver":"1.1","creds":["{own}"],"ack":true}}{{"cmd":"sa","stat":"av","svcs":[]}}'
        assert peer.received == expected.encode()
        await peer.close()


async def test_the_greeting_over_tls_is_that_of_a_real_node(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings):
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        own = token(identities.backend).encode()
        greeting = (
            b"\x84\xa3cmd\xa2au\xa3ver\xa31.0\xa5creds\x91\xda" + len(own).to_bytes(2, "big") + own + b"\xa3ack\xc3"
        )
        assert peer.received == greeting + b"\x83\xa3cmd\xa2sa\xa4stat\xa2av\xa4svcs\x90"
        await peer.close()


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_as_client_the_node_greets_first_and_announces_after_the_answer(
    codec: Codec, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    listener = await RawListener(identities.backend, codec).start()
    scheme = "tls" if codec is MSGPACK else "tls+json"
    async with running(vehicle_settings(identities, tmp_path / "v", f"{scheme}://127.0.0.1:{listener.port}")) as (
        _,
        client,
    ):
        peer = await listener.peer()
        greeting = await peer.read()
        assert (greeting.cmd, greeting.ver, greeting.creds) == ("au", "1.0", [token(identities.vehicle())])
        peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.backend)]})
        announcement = await peer.read()
        assert (announcement.cmd, announcement.stat, announcement.svcs) == ("sa", "av", [])
        name = await client.register("/sota/notify", service.url())
        assert (await peer.read()).svcs == [name]
        peer.send(rcv(name, codec=codec.name))
        await service.wait_for(1)
        await client.result("unregister_service", {"service": name})
        gone = await peer.read()
        assert (gone.stat, gone.svcs) == ("un", [name])
    await listener.stop()


async def test_the_message_on_the_wire_is_that_of_a_real_node(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await connect(settings, identities)
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        before = len(peer.received)
        ends_at = int(time.time()) + 60
        params = {"service_name": f"{VEHICLE}/notify", "timeout": ends_at, "parameters": {"a": 1, "b": "x"}}
        await core.result("message", params)
        await peer.read()
        expected = (
            '{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"%s/notify","timeout":%d000,'
            '"parameters":{"a": 1, "b": "x"}}}'
        )
        assert peer.received[before:].decode() == expected % (VEHICLE, ends_at)
        await peer.close()


@pytest.mark.parametrize(
    "parameters", [{"a": 1, "b": "x"}, [{"a": 1}], [None], [], {}, [[[]]], {"é": "😀", "n": -(2**63), "m": 2**64 - 1}]
)
async def test_parameters_pass_unchanged(
    parameters: Any, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await connect(settings, identities)
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": parameters}
        peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})
        (received,) = await service.wait_for(1)
        assert received["parameters"] == parameters
        await peer.close()


async def test_a_second_greeting_replaces_the_rights(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await connect(settings, identities)
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        peer.send({"cmd": "au", "ver": "1.1", "creds": []})
        again = await peer.read()
        assert (again.cmd, again.svcs) == ("sa", [])
        assert f"{VEHICLE}/notify" not in node.known_services()
        await peer.close()


async def test_what_a_real_node_sends_besides_is_accepted(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await connect(settings, identities)
        peer.send_raw(b'\r\n{"cmd":"ping"} [1] {"cmd":"unheard-of"}{"x":1}')
        peer.send({"cmd": "sa", "stat": "un", "svcs": ["unknown"], "rvi_log_id": "x"})
        peer.send({"cmd": "sa", "stat": "odd", "svcs": [f"{VEHICLE}/start"]})
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify", f"{VEHICLE}/notify"]})
        peer.send({"cmd": "rcv", "data": "{}"})
        peer.send({**rcv(f"{BACKEND}/report"), "mod": "anything", "more": [1]})
        await service.wait_for(1)
        assert set(node.known_services()) == {f"{BACKEND}/report", f"{VEHICLE}/notify"}
        await peer.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"cmd":"au","ver":"2.0","creds":[]}',
        b'{"cmd":"au","ver":"1.1"}',
        b'{"cmd":"au","creds":{}}',
        b'{"cmd":',
        b"{" * 500,
        b'{"cmd":"' + b"x" * 300_000,
        b"\xdd\xff\xff\xff\xff",
        bytes(range(256)),
    ],
)
async def test_a_peer_that_speaks_nonsense_loses_its_connection_only(
    nonsense: bytes, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = on_tcp(identities, tmp_path, greeting_timeout_s=1.0)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        good = await connect(settings, identities)
        bad = await RawPeer.connect(settings.tcp_port, None, JSON)
        bad.send_raw(nonsense)
        assert await bad.is_cut_off()
        await bad.close()
        good.send(rcv(f"{BACKEND}/report"))
        await service.wait_for(1)
        await good.close()


async def test_nothing_counts_before_the_greeting(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
        peer.send(rcv(f"{BACKEND}/report", ["early"]))
        await peer.greet(token(identities.vehicle()))
        peer.send(rcv(f"{BACKEND}/report", ["in time"]))
        assert [message["parameters"] for message in await service.wait_for(1)] == [["in time"]]
        assert node.known_services() == [f"{BACKEND}/report"]
        await peer.close()


async def test_a_peer_that_does_not_greet_is_cut_off(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path, greeting_timeout_s=0.2)
    async with running(settings) as (node, _):
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        assert await peer.is_cut_off()
        assert not node.is_connected
        await peer.close()


async def test_signs_of_life_are_given_and_the_silent_are_cut_off(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path, ping_interval_s=0.1, dead_after_s=1.2)
    async with running(settings) as (node, _):
        peer = await connect(settings, identities)
        before = len(peer.received)
        for _ in range(8):
            assert (await peer.read()).cmd == "ping"
            assert peer.received[before:].startswith(b'{"cmd":"ping"}')
            peer.send({"cmd": "ping"})
        assert node.is_connected
        assert await peer.is_cut_off()
        await peer.close()


async def test_connections_are_bounded(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path, max_peers=1)
    async with running(settings):
        first = await connect(settings, identities)
        second = await RawPeer.connect(settings.tcp_port, None, JSON)
        assert await second.is_cut_off()
        first.send({"cmd": "au", "ver": "1.1", "creds": []})
        assert (await first.read()).cmd == "sa"
        await first.close()
        await second.close()


async def test_a_peer_that_does_not_read_costs_no_memory(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path, send_queue=100_000, back_pressure_s=0.2)
    async with running(settings) as (node, core):
        peer = await connect(settings, identities)
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/chunk"]})
        await wait_until(lambda: f"{VEHICLE}/chunk" in node.known_services())

        async def send(caller: EdgeCaller, count: int) -> None:
            for number in range(count):
                await caller.send(f"{VEHICLE}/chunk", [number, "x" * 1_000_000])

        async with asyncio.timeout(30):
            sending = asyncio.create_task(send(core, 12))
            await wait_until(lambda: node.store.messages > 0, "the disk takes what the peer does not", 10.0)
            numbers = [(await peer.read(10)).data for _ in range(12)]
            await sending
        order = [JSON.decode_data(data) for data in numbers]
        assert [int(bytes(data.parameters)[2:].split(b",")[0]) for data in order if data] == list(range(12))
        await peer.close()


async def test_a_client_without_a_certificate_of_the_authority_does_not_get_in(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    strangers = Identities(tmp_path / "strangers")
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    chain = tmp_path / "chain.pem"
    folder = strangers.vehicle()
    chain.write_bytes((folder / "device.pem").read_bytes() + (folder / "root.pem").read_bytes())
    stranger.load_cert_chain(chain, folder / "device.key")
    async with running(settings) as (node, _):
        for context in (bare, stranger):
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", settings.tls_port, ssl=context)
                peer = RawPeer(reader, writer, MSGPACK)
                peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.vehicle())]})
                assert await peer.is_cut_off()
                await peer.close()
        assert not node.is_connected


async def test_plain_bytes_on_the_tls_port_are_no_connection(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (node, _):
        peer = await RawPeer.connect(settings.tls_port, None, JSON)
        peer.send({"cmd": "au", "ver": "1.1", "creds": []})
        assert await peer.is_cut_off()
        assert not node.is_connected
        await peer.close()


async def test_a_node_that_drops_connections_is_not_hammered(identities: Identities, tmp_path: Path) -> None:
    accepted: list[float] = []

    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(time.monotonic())
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(vehicle_settings(identities, tmp_path / "v", address, reconnect_s=0.1, reconnect_max_s=10.0)):
        await wait_until(lambda: len(accepted) >= 4)
    server.close()
    assert accepted[3] - accepted[0] >= (0.1 + 0.2 + 0.4) / 2 - 0.05


async def test_a_fragmented_message_of_a_real_node_is_read(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await connect(settings, identities)
        inner = '{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"%s/report","parameters":["%s"]}}'
        whole = inner % (BACKEND, "y" * 500)
        peer.send({"frg": [1, len(whole), 1, whole[:78]]})
        request = (await peer.read()).frg_get
        assert request == [1, 79, len(whole) - 78]
        peer.send({"frg": [1, len(whole), 79, whole[78:156]]})
        assert cast("list[int]", (await peer.read()).frg_get)[:2] == [1, 157]
        peer.send({"frg": [1, len(whole), 157, whole[156:]]})
        assert (await peer.read()).frg_end == [1, 0]
        assert (await service.wait_for(1))[0]["parameters"] == ["y" * 500]
        peer.send({"frg": [2, 100, 1, "x"]})
        peer.send({"frg": [2, 100, 50, "x"]})
        assert await peer.is_cut_off()
        await peer.close()


async def test_the_pieces_that_a_real_node_gets_are_as_it_expects(identities: Identities, tmp_path: Path) -> None:
    settings = on_tcp(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await connect(settings, identities)
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/chunk"]})
        await wait_until(lambda: f"{VEHICLE}/chunk" in node.known_services())
        params = {"rvi.max_msg_size": 100, "text": "€" * 20}
        await core.result("message", {"service_name": f"{VEHICLE}/chunk", "timeout": 60_000, "parameters": params})
        number, total, offset, piece = JSON.decode_fragment((await peer.read()).frg)
        assert (number, offset, len(piece)) == (1, 1, 76)
        peer.send({"frg-get": [1, 77, []]})
        _, _, offset, rest = JSON.decode_fragment((await peer.read()).frg)
        assert (offset, len(piece + rest)) == (77, total)
        peer.send({"frg-end": [1, 0]})
        packet = JSON.decode(piece + rest)
        assert packet is not None
        assert packet.cmd == "rcv"
        await peer.close()


async def test_another_vehicle_is_another_peer(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peers = [await connect(settings, identities, vin) for vin in (VIN, OTHER_VIN)]
        for peer in peers:
            peer.send(rcv(f"{BACKEND}/report", codec="msgpack"))
        received = await service.wait_for(2)
        assert {message["peer"]["vin"] for message in received} == {VIN, OTHER_VIN}
        for peer in peers:
            await peer.close()
