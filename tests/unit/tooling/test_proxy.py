"""The bad network of the fault tests does what it says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.processes import free_ports
from tests.support.proxy import CHUNK, Direction, Proxy, Weather

CONTENT = os.urandom(1 << 20)
TIMEOUT_S = 20.0


@contextlib.asynccontextmanager
async def echo_behind(weather: Weather | None = None, *, seed: int = 1) -> AsyncIterator[Proxy]:
    """Run a proxy before an echo server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(CHUNK):
                writer.write(content)
                await writer.drain()
            writer.write_eof()
        writer.close()

    port, target = free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", target)
    proxy = Proxy(port, target, weather, seed=seed)
    await proxy.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield proxy
    finally:
        await proxy.stop()
        server.close()


async def through(proxy: Proxy, content: bytes) -> bytes:
    """Send bytes and return everything that arrives until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    async def say() -> None:
        with contextlib.suppress(OSError):
            writer.write(content)
            await writer.drain()
            writer.write_eof()

    saying = asyncio.create_task(say())
    heard = bytearray()
    with contextlib.suppress(OSError):
        while part := await reader.read(CHUNK):
            heard += part
    await saying
    writer.transport.abort()
    return bytes(heard)


async def test_good_weather_passes_everything_on() -> None:
    async with echo_behind() as proxy:
        assert await through(proxy, CONTENT) == CONTENT
        assert (proxy.bytes, proxy.cut_count, proxy.flip_count) == (2 * len(CONTENT), 0, 0)


async def test_segments_are_delayed_but_not_one_after_the_other() -> None:
    async with echo_behind(Weather(delay_s=0.1, jitter_s=0.05)) as proxy:
        began = time.monotonic()
        assert await through(proxy, CONTENT) == CONTENT
        took = time.monotonic() - began

    assert 0.2 < took < 0.2 * len(CONTENT) / CHUNK


async def test_a_throttle_holds_for_each_connection() -> None:
    content = CONTENT[: 4 * CHUNK]
    async with echo_behind(Weather(bytes_per_s=len(content))) as proxy:
        began = time.monotonic()
        heard = await asyncio.gather(*(through(proxy, content) for _ in range(3)))
        took = time.monotonic() - began

    assert heard == [content] * 3
    assert took > 0.9


async def test_bits_are_flipped_as_often_as_asked_and_nothing_else_changes() -> None:
    every = 100_000
    async with echo_behind(Weather(flip_every=every)) as proxy:
        heard = await through(proxy, CONTENT)
        flips = proxy.flip_count

    changed = [(one, other) for one, other in zip(CONTENT, heard, strict=True) if one != other]
    assert len(changed) == flips == pytest.approx(2 * len(CONTENT) / every, rel=0.3)
    assert {(one ^ other).bit_count() for one, other in changed} == {1}


async def test_connections_are_cut_so_often_and_then_left_alone() -> None:
    async with echo_behind(Weather(cut_every=CHUNK, cuts=5)) as proxy:
        heard = [await through(proxy, CONTENT) for _ in range(12)]

    assert proxy.cut_count == 5
    assert sum(one == CONTENT for one in heard) >= 12 - 5
    assert all(CONTENT.startswith(one) for one in heard)


async def test_segments_change_places() -> None:
    async with echo_behind(Weather(reorder=0.5)) as proxy:
        heard = await through(proxy, CONTENT)
        changes = proxy.reorder_count

    assert changes > 0
    assert heard != CONTENT
    assert sorted(heard) == sorted(CONTENT)


async def test_end_follows_the_last_segment_whatever_changes_places() -> None:
    for seed in range(8):
        async with echo_behind(Weather(reorder=0.9), seed=seed) as proxy:
            assert sorted(await through(proxy, CONTENT[:CHUNK])) == sorted(CONTENT[:CHUNK])


async def test_one_direction_is_held_until_the_cut() -> None:
    async with echo_behind() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.hold(Direction.DOWN)
        writer.write(b"said")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        await proxy.cut()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.transport.abort()
        assert await through(proxy, b"again") == b"again"


async def test_absent_server_ends_the_connection() -> None:
    port, absent = free_ports(2)
    proxy = Proxy(port, absent)
    await proxy.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            assert await through(proxy, b"hello") == b""
    finally:
        await proxy.stop()
