"""Many kills at random moments of one transfer. The seed is printed; ``SOTA_FAULT_SEED`` repeats a run."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.support.system import running_system
from tests.support.thorough import IS_THOROUGH
from tests.support.transfer_faults import COUNTING_POSTINST, SLOW, begin_transfer

KILLS = 5 if IS_THOROUGH else 2
PAUSE_S = (0.1, 0.9)


@pytest.mark.slow
async def test_a_transfer_survives_kills_at_random_moments(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOTA_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SOTA_FAULT_SEED={seed}")
    generator = random.Random(seed)
    async with running_system(tmp_path, settings=SLOW) as system:
        transfer = await begin_transfer(system, tmp_path, postinst=COUNTING_POSTINST)
        kills: list[tuple[set[int], int]] = []
        for _ in range(KILLS):
            victim = generator.choice(["core", "node", transfer.vin])
            await asyncio.sleep(generator.uniform(*PAUSE_S))
            system.kill(victim)
            committed = await transfer.committed()
            kills.append((committed, system.programs["core"].mark()))
            print(f"killed {victim} with {len(committed)} blocks committed")
            await system.restart(victim)

        await transfer.wait_until_installed()

        assert transfer.installations() == 1
        for committed, mark in kills:
            assert not committed & set(transfer.sent(since=mark))
