"""Writes blocks of a file at once, without an event loop."""

from __future__ import annotations

from collections.abc import Iterable

from sota.kit.files.block_file import BlockFile


def write(file: BlockFile, blocks: Iterable[tuple[int, bytes]]) -> None:
    """Write blocks; they are durable when this returns, and only then count as received."""
    written = file.put(blocks)
    file.sync()
    file.count(written)
