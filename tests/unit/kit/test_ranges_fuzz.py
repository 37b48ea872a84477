"""A million acknowledgements, most of them wrong: none crashes the parser, and memory does not grow.

``make fuzz`` takes them all; ``make test`` a seeded sample.
"""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import settings

from sota.kit.ranges import Ranges

pytestmark = pytest.mark.slow

ALL, SAMPLE = 1_000_000, 20_000
ALPHABET = "0123456789-,0123456789-,0123456789-, +_.eE\n\x00\u0663\uff11"
BLOCKS = 500
GROWN_BLOCKS = 5_000  # of memory, as the interpreter counts them


def one(chance: random.Random) -> str:
    """Make one text: random characters, or a good one with a few of them changed."""
    if chance.random() < 0.5:
        return "".join(chance.choices(ALPHABET, k=chance.randrange(40)))
    parts = []
    for _ in range(chance.randrange(8)):
        first = chance.randrange(1, 2 * BLOCKS)
        parts.append(f"{first}-{first + chance.randrange(50)}" if chance.random() < 0.5 else str(first))
    text = list(",".join(parts))
    for _ in range(chance.randrange(3)):
        if text:
            text[chance.randrange(len(text))] = chance.choice(ALPHABET)
    return "".join(text)


@pytest.mark.hypothesis
def test_a_million_acknowledgements_are_read_or_refused() -> None:
    count = ALL if settings.get_current_profile_name() == "fuzz" else SAMPLE
    chance = random.Random(20_260_101 if count == SAMPLE else None)
    received, read, before = Ranges(), 0, 0
    for number in range(count):
        if number == count // 10:  # what is made once is there by now
            before = sys.getallocatedblocks()
        try:
            ranges = Ranges.parse(one(chance))
        except ValueError:
            continue
        read += 1
        within = ranges.within(BLOCKS)
        received = received.union(within) if number % 100 else Ranges()
        assert len(received) + sum(1 for _ in received.missing(BLOCKS)) == BLOCKS
    assert read > count // 100
    assert sys.getallocatedblocks() - before < GROWN_BLOCKS
