"""The driver's browser, as tests and scripts play it: the page with the updates that wait for consent, and its form."""

from __future__ import annotations

from sota.boundaries.b10_client_slm import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import address
from sota.kit.http.client import HttpClient, Response

FORM = "application/x-www-form-urlencoded"


class DriverBrowser:
    """A browser on the vehicle's own screen; ``secret`` is the part of the address that only the vehicle knows."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    @calls("X-B10-7")
    async def page(self, secret: str) -> Response:
        """Ask for the page."""
        method, path = address(rows.CONSENT_PAGE, {"secret": secret})
        return await self._client.request(method, path)

    @calls("X-B10-8")
    async def decide(self, secret: str, update_id: str, form: str, headers: dict[str, str] | None = None) -> Response:
        """Send the form: ``token``, ``decision`` and ``hours``, as a browser encodes them."""
        method, path = address(rows.CONSENT_FORM, {"secret": secret, "update_id": update_id})
        headers = {"content-type": FORM, **(headers or {})}
        return await self._client.request(method, path, body=form.encode(), headers=headers)
