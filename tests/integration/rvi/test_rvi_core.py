"""The exchanges of a real rvi_core 0.5.1, as they were captured: byte by byte what it sends, and what it expects.

Beside ``test_link.py`` and ``test_edge.py``, which hold our answers; here a test speaks for the real node, with its
quirks: several packets in one segment, log ids, services one by one, sizes that are empty lists, texts cut anywhere.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest

from sota.rvi.codec import JSON
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
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

NOTIFY = f"{VEHICLE}/notify"


def raw_text(text: str) -> bytes:
    """A text as a real node writes it: fixraw or raw16."""
    content = text.encode()
    return (bytes([0xA0 | len(content)]) if len(content) < 32 else b"\xda" + len(content).to_bytes(2, "big")) + content


async def bytes_after(peer: RawPeer, before: int, size: int) -> bytes:
    """Read the next bytes."""
    async with asyncio.timeout(20):
        while len(peer.received) < before + size:
            peer.received += await peer.reader.read(1 << 16)
    return peer.received[before : before + size]


async def test_a_real_backend_over_tcp(identities: Identities, tmp_path: Path, service: RecordingService) -> None:
    """Our vehicle connects: au; au and sa in one segment; sa; sa for each service; rcv; sa un."""
    listener = await RawListener(None, JSON).start()
    async with running(vehicle_settings(identities, tmp_path, f"tcp://127.0.0.1:{listener.port}")) as (node, client):
        peer = await listener.peer()
        greeting = f'{{"cmd":"au","ver":"1.1","creds":["{token(identities.vehicle())}"],"ack":true}}'.encode()
        assert await bytes_after(peer, 0, len(greeting)) == greeting
        peer.send_raw(
            f'{{"cmd":"au","ver":"1.1","creds":["{token(identities.backend)}"],"rvi_log_id":"conn:1-0ha0"}}'
            '{"cmd":"sa","stat":"av","svcs":[],"rvi_log_id":"conn:1-0ha0"}'.encode()
        )
        at = len(greeting)
        expected = b'{"cmd":"sa","stat":"av","svcs":[]}'
        assert await bytes_after(peer, at, len(expected)) == expected
        at += len(expected)
        await client.register("/sota/notify", service.url())
        expected = f'{{"cmd":"sa","stat":"av","svcs":["{NOTIFY}"]}}'.encode()
        assert await bytes_after(peer, at, len(expected)) == expected
        at += len(expected)
        peer.send_raw(f'{{"cmd":"sa","stat":"av","svcs":["{BACKEND}/start"]}}'.encode())
        await wait_until(lambda: f"{BACKEND}/start" in node.known_services())
        peer.send_raw(
            '{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"%s","timeout":1795437985000,'
            '"parameters":{"a":1,"b":"x"}}}'.replace("%s", NOTIFY).encode()
        )
        (call,) = await service.wait_for(1)
        assert (call["service_name"], call["parameters"]) == ("/sota/notify", {"a": 1, "b": "x"})
        ends_at = int(time.time()) + 60
        params = {"service_name": f"{BACKEND}/start", "timeout": ends_at, "parameters": [{"vin": "x"}]}
        await client.result("message", params)
        expected = (
            f'{{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{{"service":"{BACKEND}/start",'
            f'"timeout":{ends_at}000,"parameters":[{{"vin": "x"}}]}}}}'.encode()
        )
        assert await bytes_after(peer, at, len(expected)) == expected, "no confirmation is asked of a real node"
        at += len(expected)
        await client.result("unregister_service", {"service": NOTIFY})
        expected = f'{{"cmd":"sa","stat":"un","svcs":["{NOTIFY}"]}}'.encode()
        assert await bytes_after(peer, at, len(expected)) == expected
        assert node.is_connected
    await listener.stop()


async def test_a_real_vehicle_over_tls(identities: Identities, tmp_path: Path, service: RecordingService) -> None:
    """msgpack of the old specification, as raw bytes."""
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        creds = raw_text(token(identities.vehicle()))
        peer.send_raw(b"\x83\xa3cmd\xa2au\xa3ver\xa31.0\xa5creds\x91" + creds)
        own = b"\x84\xa3cmd\xa2au\xa3ver\xa31.0\xa5creds\x91" + raw_text(token(identities.backend)) + b"\xa3ack\xc3"
        offered = b"\x83\xa3cmd\xa2sa\xa4stat\xa2av\xa4svcs\x91" + raw_text(f"{BACKEND}/report")
        assert await bytes_after(peer, 0, len(own + offered)) == own + offered
        peer.send_raw(b"\x83\xa3cmd\xa2sa\xa4stat\xa2av\xa4svcs\x91" + raw_text(NOTIFY))
        await wait_until(lambda: NOTIFY in node.known_services())
        peer.send_raw(
            b"\x84\xa3tid\x01\xa3cmd\xa3rcv\xa3mod\xb1proto_msgpack_rpc\xa4data\x83\xa7service"
            + raw_text(f"{BACKEND}/report")
            + b"\xa7timeout\xcf\x00\x00\x01\xa2\x08\x83\x1c\xa0\xaaparameters\x82\xa1a\x01\xa1b"
            + raw_text("x" * 40)
        )
        assert (await service.wait_for(1))[0]["parameters"] == {"a": 1, "b": "x" * 40}
        at, ends_at = len(own + offered), int(time.time()) + 60
        params = {"service_name": NOTIFY, "timeout": ends_at, "parameters": {"a": 1, "b": "x" * 40}}
        await core.result("message", params)
        expected = (
            b"\x84\xa3tid\x01\xa3cmd\xa3rcv\xa3mod\xb1proto_msgpack_rpc\xa4data\x83\xa7service"
            + raw_text(NOTIFY)
            + b"\xa7timeout\xcf"
            + (ends_at * 1000).to_bytes(8, "big")
            + b"\xaaparameters\x82\xa1a\x01\xa1b"
            + raw_text("x" * 40)
        )
        assert await bytes_after(peer, at, len(expected)) == expected
        peer.send_raw(b"\x81\xa3cmd\xa4ping")
        peer.send_raw(b"\x83\xa3cmd\xa2sa\xa4stat\xa2un\xa4svcs\x91" + raw_text(NOTIFY))
        await wait_until(lambda: NOTIFY not in node.known_services())
        await peer.close()


async def test_a_real_node_configured_for_json_over_tls(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle(), JSON)
        peer.send_raw(f'{{"cmd":"au","ver":"1.0","creds":["{token(identities.vehicle())}"]}}'.encode())
        own = f'{{"cmd":"au","ver":"1.0","creds":["{token(identities.backend)}"],"ack":true}}'
        expected = f'{own}{{"cmd":"sa","stat":"av","svcs":["{BACKEND}/report"]}}'.encode()
        assert await bytes_after(peer, 0, len(expected)) == expected
        peer.send_raw(
            f'{{"cmd":"sa","stat":"av","svcs":["{NOTIFY}"]}}'
            f'{{"tid":3,"cmd":"rcv","mod":"proto_json_rpc","data":{{"service":"{BACKEND}/report","timeout":1,'
            '"parameters":[null]}}'.encode()
        )
        assert (await service.wait_for(1))[0]["parameters"] == [None]
        assert NOTIFY in node.known_services()
        await peer.close()


async def test_the_side_that_listens_is_silent_until_it_is_greeted(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, tcp_port=free_ports(1)[0])
    async with running(settings):
        for port, identity in ((settings.tcp_port, None), (settings.tls_port, identities.vehicle())):
            peer = await RawPeer.connect(port, identity, JSON)
            with pytest.raises(TimeoutError):
                await peer.read(timeout_s=0.2)
            await peer.greet(token(identities.vehicle()))
            await peer.close()


@pytest.mark.parametrize("version", ['"ver":"1.0",', '"ver":"1.1",', '"ver":"1.99",', ""])
async def test_versions_that_a_real_node_accepts_are_accepted(
    version: str, identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path, tls_port=0, tcp_port=free_ports(1)[0])
    async with running(settings):
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        peer.send_raw(f'{{"cmd":"au",{version}"addr":"1.2.3.4","port":8807,"creds":[]}}'.encode())
        assert ((await peer.read()).ver, (await peer.read()).svcs) == ("1.1", [])
        peer.send_raw(b'{"cmd":"ping"}{"cmd":"cre"}{"cmd":"crt"}{"frg-get":[9,1,[]]}{"frg-end":[9,0]}{"frg-err":[9,1]}')
        peer.send_raw(b'{"cmd":"au","ver":"1.1","creds":[]}')
        assert (await peer.read()).cmd == "sa", "it stands, and is greeted once"
        await peer.close()


@pytest.fixture
async def fragmenting(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> AsyncIterator[tuple[RawPeer, EdgeCaller]]:
    settings = backend_settings(identities, tmp_path, tls_port=0, tcp_port=free_ports(1)[0])
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        await peer.greet(token(identities.vehicle()))
        peer.send({"cmd": "sa", "stat": "av", "svcs": [NOTIFY]})
        await wait_until(lambda: NOTIFY in node.known_services())
        yield peer, core
        await peer.close()


async def test_a_message_of_a_real_node_in_pieces_with_characters_cut_in_two(
    fragmenting: tuple[RawPeer, EdgeCaller], service: RecordingService
) -> None:
    peer, _ = fragmenting
    text = "äöü€😀" * 60
    data = f'{{"service":"{BACKEND}/report","parameters":["{text}"]}}'
    whole = f'{{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{data}}}'.encode()
    offset, size = 1, 113
    while True:
        piece = whole[offset - 1 : offset - 1 + size].decode("utf-8", "replace")  # what a real node makes of it
        peer.send({"frg": [1, len(whole), offset, piece]})
        answer = await peer.read()
        if answer.frg_end is not None:
            assert answer.frg_end == [1, 0]
            break
        number, offset, wanted = cast("list[int]", answer.frg_get)
        assert number == 1
        size = min(wanted, 101)  # and it may send less than was asked for
    assert (await service.wait_for(1))[0]["parameters"] == [text]


async def test_a_burst_of_messages_in_pieces_arrives_whole_and_the_link_stands(
    fragmenting: tuple[RawPeer, EdgeCaller], service: RecordingService
) -> None:
    """A real node begins with all of them at once, and continues each one on request."""
    peer, _ = fragmenting
    whole = {}
    for number in range(1, 21):
        data = f'{{"service":"{BACKEND}/report","timeout":1,"parameters":{{"rvi.max_msg_size":100,"n":{number}}}}}'
        whole[number] = f'{{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{data}}}'
        peer.send({"frg": [number, len(whole[number]), 1, whole[number][:78]]})
    peer.send({"frg": [21, 1 << 30, 1, "{"]})
    while whole:
        answer = await peer.read()
        if answer.frg_end == [21, 1]:
            continue
        if answer.frg_end is not None:
            del whole[cast("list[int]", answer.frg_end)[0]]
            continue
        number, offset, size = cast("list[int]", answer.frg_get)
        piece = whole[number][offset - 1 : offset - 1 + min(size, 78)]
        peer.send({"frg": [number, len(whole[number]), offset, piece]})
    received = [message["parameters"]["n"] for message in await service.wait_for(20)]
    assert sorted(received) == list(range(1, 21))


async def test_both_languages_are_understood_in_one_segment(
    fragmenting: tuple[RawPeer, EdgeCaller], service: RecordingService
) -> None:
    peer, _ = fragmenting
    data = {"service": f"{BACKEND}/report", "timeout": 1}
    message = {"tid": 1, "cmd": "rcv", "mod": "proto_json_rpc"}
    packed = [
        msgpack.packb({**message, "data": {**data, "parameters": [number]}}, use_bin_type=False) for number in (2, 4)
    ]
    texts = [json.dumps({**message, "data": {**data, "parameters": [number]}}).encode() for number in (1, 3)]
    peer.send_raw(texts[0] + packed[0] + b"\r\n" + texts[1] + packed[1])
    assert [received["parameters"] for received in await service.wait_for(4)] == [[1], [2], [3], [4]]
    peer.send_raw(b"\x83\xa3cmd\xa2au\xa3ver\xa31.1\xa5creds\x90")
    assert await bytes_after(peer, len(peer.received), 34) == b'{"cmd":"sa","stat":"av","svcs":[]}', "always JSON"


async def test_a_real_receiver_asks_for_the_rest_with_an_empty_list(
    fragmenting: tuple[RawPeer, EdgeCaller],
) -> None:
    peer, core = fragmenting
    parameters = {"rvi.max_msg_size": 100, "text": "y" * 500}
    await core.result("message", {"service_name": NOTIFY, "timeout": int(time.time()) + 60, "parameters": parameters})
    number, total, offset, piece = listed((await peer.read()).frg)
    assert (number, offset) == (1, 1)
    peer.send_raw(b'{"frg-get":[1,%d,[]]}' % (len(piece) + 1))
    _, _, offset, rest = listed((await peer.read()).frg)
    assert offset == len(piece) + 1
    assert len(piece + rest) == total
    peer.send_raw(b'{"frg-end":[1,0]}')
    packet = JSON.decode((piece + rest).encode())
    assert packet is not None
    data = JSON.decode_data(packet.data)
    assert data is not None
    assert b"y" * 500 in bytes(data.parameters)


def listed(raw: Any) -> list[Any]:
    decoded: list[Any] = json.loads(bytes(raw))
    return decoded


async def test_pieces_in_msgpack_as_raw_bytes(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": ["é" * 100]}
        packet = {"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data}
        whole = msgpack.packb(packet, use_bin_type=False)
        assert 0xFF < len(whole) < 0x10000
        head = b"\x81\xa3frg\x94\x02\xcd" + len(whole).to_bytes(2, "big")
        peer.send_raw(head + b"\x01\xda\x00\x56" + whole[:0x56])
        before = len(peer.received)
        wanted = len(whole) - 0x56
        expected = b"\x81\xa7frg-get\x93\x02\x57" + (
            b"\xcd" + wanted.to_bytes(2, "big") if wanted > 255 else b"\xcc%c" % wanted
        )
        assert await bytes_after(peer, before, len(expected)) == expected
        rest = whole[0x56:]
        peer.send_raw(head + b"\x57\xda" + len(rest).to_bytes(2, "big") + rest)
        end = b"\x81\xa7frg-end\x92\x02\x00"
        assert await bytes_after(peer, before + len(expected), len(end)) == end
        assert (await service.wait_for(1))[0]["parameters"] == ["é" * 100]
        await peer.close()


async def test_a_credential_that_kills_a_real_node_is_never_sent_and_costs_ours_nothing(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path, tls_port=0, tcp_port=free_ports(1)[0])
    async with running(settings) as (node, _):
        for _ in range(8):
            peer = await RawPeer.connect(settings.tcp_port, None, JSON)
            peer.send_raw(b'{"cmd":"au","ver":"1.1","creds":["a.b"]}')
            assert (await peer.read()).cmd == "au"
            assert (await peer.read()).svcs == []
            await peer.close()
        assert node.is_listening


async def test_without_confirmations_the_greeting_is_that_of_a_real_node(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path, tls_port=0, tcp_port=free_ports(1)[0], confirmations=False)
    async with running(settings):
        peer = await RawPeer.connect(settings.tcp_port, None, JSON)
        peer.send({"cmd": "au", "ver": "1.1", "creds": [], "ack": True})
        own = f'{{"cmd":"au","ver":"1.1","creds":["{token(identities.backend)}"]}}'.encode()
        assert await bytes_after(peer, 0, len(own)) == own
        await peer.close()
