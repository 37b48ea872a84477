"""How a program reaches the others: the clients and listeners that it makes.

Programs take a :class:`Network`, so that a process with thousands of vehicles can join theirs in memory
(``fleet/memory_network.py``).
"""

from __future__ import annotations

from typing import Protocol

from sota.kit.http.asgi_connection import AsgiApp
from sota.kit.http.client import HttpClient
from sota.kit.http.json_server import Handle, JsonServer
from sota.kit.http.listener import HttpListener


class Listener(Protocol):
    """Takes requests for an application."""

    port: int

    async def start(self) -> None:
        """Return when requests are taken."""

    async def stop(self) -> None:
        """Take no more."""


class Network:
    """Makes the clients and listeners of a program: over TCP."""

    def client(self, base_url: str, token: str | None = None) -> HttpClient:
        """Return a client of another program."""
        return HttpClient(base_url, token)

    def listener(self, app: AsgiApp, host: str, port: int) -> Listener:
        """Return a listener for an application."""
        return HttpListener(app, host, port)

    def json_server(self, program: str, handle: Handle, host: str, port: int, *, max_body: int) -> Listener:
        """Return a server of JSON requests; port 0 takes a free one."""
        return JsonServer(program, handle, host, port, max_body=max_body)
