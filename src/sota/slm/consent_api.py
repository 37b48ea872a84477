"""B10, the driver's consent: JSON for a head unit with its own token, and a page at a secret address."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from sota.boundaries.b10_client_slm.messages import ConsentAnswer
from sota.boundaries.b10_client_slm.rows import FORM_LIMIT
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import DriverPath, DriverUpdatePath, UpdatePath
from sota.kit.errors import NotFound
from sota.slm import driver_page
from sota.slm.consent import Consents
from sota.slm.update_queue import UpdateQueue

HTML = "text/html; charset=utf-8"


class ConsentApi:
    """The driver's consent by a head unit, or by the page and its forms.

    The page's secret address is shown in the vehicle only.
    """

    def __init__(self, consents: Consents, update_queue: UpdateQueue, secret: str) -> None:
        self._consents = consents
        self._update_queue = update_queue
        self._secret = secret

    @serves("X-B10-5")
    async def waiting(self, call: Call[None, None, None]) -> Reply:
        """List the updates that wait for the driver."""
        return Reply("listed", await self._consents.questions())

    @serves("X-B10-6")
    async def decide(self, call: Call[UpdatePath, None, ConsentAnswer]) -> Reply:
        """Record the driver's answer."""
        await self._update_queue.decide(call.path.update_id, call.body)
        return Reply("recorded")

    @serves("X-B10-7")
    async def page(self, call: Call[DriverPath, None, None]) -> Reply:
        """Show the updates that wait for the driver."""
        self._check(call.path.secret)
        raw = driver_page.render(await self._consents.questions(), self._secret, datetime.now(UTC))
        return Reply("shown", raw=raw, content_type=HTML, headers=driver_page.HEADERS)

    @serves("X-B10-8")
    async def form(self, call: Call[DriverUpdatePath, None, None]) -> Reply:
        """Record the driver's answer, and show the page again."""
        self._check(call.path.secret)
        content, update_id = await call.read(FORM_LIMIT), call.path.update_id
        answer = driver_page.read_form(content, self._secret, update_id, call.headers, datetime.now(UTC))
        await self._update_queue.decide(update_id, answer)
        return Reply("recorded", headers={"location": f"/driver/{self._secret}", "referrer-policy": "no-referrer"})

    def _check(self, secret: str) -> None:
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise NotFound("There is nothing here.")
