"""The RVI node as a program: what ``sota rvi-node``, ``sota up`` and ``sota vehicle`` run."""

from __future__ import annotations

from sota.kit.runtime.memory import keep_freed
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings


class NodeProgram:
    """Starts, stops and watches one node."""

    name = "rvi-node"

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.node = Node(settings)

    async def start(self) -> None:
        """Start the node; returns when it listens.

        Raises:
            StartError: something is missing or taken; says what.
        """
        if self.settings.role == "server":
            keep_freed()
        await self.node.start()

    async def stop(self) -> None:
        """Stop the node and keep what waits."""
        await self.node.stop()

    async def trouble(self) -> str | None:
        """Return why local services cannot use the node."""
        return self.node.trouble() if self.node.is_listening else "it does not listen"
