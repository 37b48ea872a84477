"""Route of waiting for the Resolver, which the Web Server calls before it asks the Resolver about the fleet."""

from __future__ import annotations

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.core.following.service import Following


class FollowingApi:
    """Serves the Web Server's calls about the Resolver."""

    def __init__(self, following: Following) -> None:
        self.following = following

    @serves("X-B2-48")
    async def wait(self, call: Call[None, None, None]) -> Reply:
        """Answer when the Resolver knows what Core had acknowledged before the call."""
        await self.following.wait()
        return Reply("followed")
