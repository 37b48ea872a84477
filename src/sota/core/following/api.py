"""Route of waiting for the Resolver: what the Web Server asks before it asks the Resolver about the fleet."""

from __future__ import annotations

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.core.following.service import Following


class FollowingApi:
    """What the Web Server asks about the Resolver."""

    def __init__(self, following: Following) -> None:
        self.following = following

    @serves("X-B2-48")
    async def wait(self, call: Call[None, None, None]) -> Reply:
        """Answer when the Resolver knows what Core had acknowledged when the call came."""
        await self.following.wait()
        return Reply("followed")
