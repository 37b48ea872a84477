"""Declarations that are harmless alone and close a circle together: one of them is refused, however close they come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.answer import Answer
from tests.support.names import new_name
from tests.support.resolver import RunningResolver

pytestmark = pytest.mark.anyio
ROUNDS = 8


def needs(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "version": "1.0.0"}]


def circle(length: int) -> list[tuple[str, str]]:
    """Build packages by name, each with the one that it needs."""
    names = [new_name("circle") for _ in range(length)]
    return [(name, names[(place + 1) % length]) for place, name in enumerate(names)]


def check(answers: list[Answer]) -> None:
    refused = [answer for answer in answers if answer.status != 200]
    assert [answer.status for answer in refused] == [400], [answer.body for answer in answers]
    assert "form a cycle" in refused[0].body["detail"]


@pytest.mark.parametrize("length", [2, 3])
async def test_registrations_at_the_same_time_close_no_circle(resolver: RunningResolver, length: int) -> None:
    for _ in range(ROUNDS):
        bodies = [{"name": name, "version": "1.0.0", "dependencies": needs(other)} for name, other in circle(length)]
        check(await asyncio.gather(*(resolver.web.send("POST", "/packages", body) for body in bodies)))


@pytest.mark.parametrize("length", [2, 3])
async def test_declarations_at_the_same_time_close_no_circle(resolver: RunningResolver, length: int) -> None:
    for _ in range(ROUNDS):
        pairs = circle(length)
        for name, _other in pairs:
            await resolver.add_package(name, "1.0.0")
        check(
            await asyncio.gather(
                *(
                    resolver.web.send("PUT", f"/packages/{name}/1.0.0/dependencies", needs(other))
                    for name, other in pairs
                )
            )
        )
