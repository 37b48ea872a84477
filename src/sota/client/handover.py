"""Hand a verified file over to the Software Loading Manager: B10-4, then B10-5 block by block, then the finish.

The answer to each block names the blocks that it has, so after an interruption only the missing ones are sent. Blocks
are larger here than over the network: nothing is lost between two programs of one vehicle.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.values import Command
from sota.kit.files.block_file import count_blocks
from sota.kit.files.disk import Disk
from sota.kit.ranges import Ranges

BLOCK_BYTES = 1 << 20


async def hand_over(slm: SlmClient, start: StartDownload, file: Path, disk: Disk) -> None:
    """Hand the file over; when this returns the Software Loading Manager has it on its own disk.

    Raises:
        Refused: it does not want the download, or no longer.
        Unavailable: it does not answer.
    """
    if start.command is Command.REMOVE:
        await slm.start_download(msgspec.structs.replace(start, block_size=BLOCK_BYTES, block_count=0, size=0))
        await slm.finish(start.download_index)
        return
    count = count_blocks(start.size, BLOCK_BYTES)
    await slm.start_download(msgspec.structs.replace(start, block_size=BLOCK_BYTES, block_count=count))
    received = Ranges()
    while (index := next(received.missing(count), None)) is not None:
        async with disk.large:
            answer = await slm.send_block(start.download_index, index, _read(file, index, start.size))
        received = Ranges.parse(answer.received)
    await slm.finish(start.download_index)


def _read(file: Path, index: int, size: int) -> bytes:
    """Read one block. After the package the file has a map of its blocks (kit/files/block_file.py)."""
    offset = (index - 1) * BLOCK_BYTES
    with file.open("rb", buffering=0) as content:
        content.seek(offset)
        return content.read(min(BLOCK_BYTES, size - offset))
