"""A vehicle's SOTA Client and Software Loading Manager on real sockets, with a node played by the test.

The played node is a real HTTP listener. It records what the client sends to Core, and hands the client whatever the
test wants it to hear, so a test can play Core step by step (:meth:`PlayedNode.tell`, :meth:`PlayedNode.heard`) or let
:class:`PlayedCore` send whole downloads by itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.boundaries.package_signature import SignedFields, make_key_pair, sign
from sota.boundaries.services import VEHICLE_SERVICES
from sota.client.program import ClientProgram
from sota.client.settings import ClientSettings
from sota.kit.files.durable import write_atomic
from sota.kit.http.client import HttpClient, Response
from sota.kit.http.listener import HttpListener
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import new_id
from sota.slm.program import SlmProgram
from sota.slm.settings import SlmSettings
from tests.support.identities import EPOCH
from tests.support.processes import free_ports

VIN = "WVW00000000000001"
PREFIX = f"genivi.org/vin/{VIN}/"
BACKEND = "genivi.org/backend/sota"
BLOCK = 65_536
QUICK = {"retry_s": 0.2, "retry_max_s": 1.0}


class PlayedNode:
    """The edge of an RVI node, as far as a SOTA Client uses it."""

    def __init__(self, port: int) -> None:
        self.addresses: dict[str, str] = {}
        self.messages: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.seen: list[tuple[str, Any]] = []
        self.deaf = False
        self._waiting: list[tuple[str, Any]] = []
        self._listener = HttpListener(self, "127.0.0.1", port)
        self._clients: dict[str, HttpClient] = {}

    async def start(self) -> None:
        await self._listener.start()

    async def stop(self) -> None:
        for client in self._clients.values():
            await client.close()
        await self._listener.stop()

    async def ready(self) -> None:
        """Wait until the client has registered all its services."""
        async with asyncio.timeout(30):
            while len(self.addresses) < len(VEHICLE_SERVICES):  # noqa: ASYNC110 - it grows by itself, as calls come
                await asyncio.sleep(0.01)

    async def tell(self, service: str, body: Any) -> tuple[int, Any]:
        """Hand a message from Core to the vehicle; return the HTTP status and the JSON-RPC answer."""
        return await self.post(
            service, {"method": "message", "params": {"service_name": f"/sota/{service}", "parameters": [body]}}
        )

    async def say_core_is_there(self) -> None:
        """Notify the client that Core's services became available."""
        await self.post("notify", {"method": "services_available", "params": {"services": [f"{BACKEND}/report"]}})

    async def post(self, service: str, call: Mapping[str, Any]) -> tuple[int, Any]:
        base, _, path = self.addresses[service].removeprefix("http://").partition("/")
        client = self._clients.setdefault(base, HttpClient(f"http://{base}"))
        content = json.dumps({"jsonrpc": "2.0", "id": 1, **call}).encode()
        response = await client.request("POST", f"/{path}", body=content, headers={"content-type": "application/json"})
        return response.status, json.loads(response.body)

    async def heard(self, service: str, *, timeout_s: float = 30.0) -> Any:
        """Return the vehicle's next message to this service of Core; messages to other services are kept."""
        for position, (name, body) in enumerate(self._waiting):
            if name == service:
                del self._waiting[position]
                return body
        async with asyncio.timeout(timeout_s):
            while True:
                name, body = await self.messages.get()
                if name == service:
                    return body
                self._waiting.append((name, body))

    def drain(self) -> None:
        """Forget what was heard so far."""
        self._waiting.clear()
        while not self.messages.empty():
            self.messages.get_nowait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        content, more = b"", True
        while more:
            part = await receive()
            content += part.get("body", b"")
            more = part.get("more_body", False)
        call = json.loads(content)
        status, result = (503, {}) if self.deaf else (200, self._result(call["method"], call["params"]))
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"status": 0, **result}}).encode()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": b"" if self.deaf else body})

    def _result(self, method: str, params: Any) -> dict[str, Any]:
        if method == "register_service":
            self.addresses[params["service"].rpartition("/")[2]] = params["network_address"]
            return {"service": PREFIX + params["service"].lstrip("/")}
        if method == "get_available_services":
            return {"services": [f"{PREFIX}sota/{name}" for name in self.addresses]}
        if method == "message":
            assert isinstance(params["timeout"], int)
            message = (params["service_name"].rpartition("/")[2], params["parameters"][0])
            self.seen.append(message)
            self.messages.put_nowait(message)
        return {}


@dataclass
class Offer:
    """A package as Core offers it: the file, and the bodies of its messages."""

    index: int
    name: str
    version: str
    content: bytes
    command: str = "install"
    signature: dict[str, Any] | None = None
    block_size: int = BLOCK
    changes: dict[str, Any] = field(default_factory=dict)
    installer: str = "deb"
    update_id: str = field(default_factory=lambda: str(new_id()))
    epoch: str = EPOCH

    @property
    def package(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version}

    @property
    def block_count(self) -> int:
        return -(-len(self.content) // self.block_size)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        return {"update_id": self.update_id, "package": self.package, "sha256": self.sha256}

    @property
    def named(self) -> dict[str, Any]:
        return {"download_index": self.index, "identity": self.identity}

    def signed(self, key: Ed25519PrivateKey) -> Offer:
        fields = SignedFields(self.name, self.version, len(self.content), self.sha256, self.installer)
        self.signature = sign(key, fields)
        return self

    def start(self) -> dict[str, Any]:
        body = {
            "download_index": self.index,
            "update_id": self.update_id,
            "epoch": self.epoch,
            "package": self.package,
            "size": len(self.content),
            "block_size": self.block_size,
            "block_count": self.block_count,
            "sha256": self.sha256,
            "sha1": hashlib.sha1(self.content).hexdigest(),
            "installer": self.installer,
            "command": self.command,
            **({"signature": self.signature} if self.signature else {}),
        }
        return {**body, **self.changes}

    def block(self, number: int) -> dict[str, Any]:
        content = self.content[(number - 1) * self.block_size : number * self.block_size]
        return {**self.named, "index": number, "bytes": base64.b64encode(content).decode()}


def notify(*offers: Offer, update_id: str | None = None, request_confirmation: bool = False) -> dict[str, Any]:
    """Write the body of ``notify`` for one update of these packages, which they are of from then on."""
    for offer in offers:
        offer.update_id = update_id or offers[-1].update_id
    return {
        "update_id": offers[-1].update_id,
        "epoch": offers[-1].epoch,
        "downloads": [
            {
                "download_index": offer.index,
                "package": offer.package,
                "size": len(offer.content),
                "sha256": offer.sha256,
            }
            for offer in offers
        ],
        "description": "a test",
        "request_confirmation": request_confirmation,
    }


class PlayedCore:
    """Plays Core for whole updates: starts what is asked for, sends what is missing, takes reports."""

    def __init__(self, node: PlayedNode, *offers: Offer) -> None:
        self.node = node
        self.offers = {offer.index: offer for offer in offers}
        self.blocks_sent: list[tuple[int, int]] = []
        self.reports: dict[int, dict[str, Any]] = {}

    async def run_until_reported(self, *indexes: int, timeout_s: float = 60.0) -> None:
        """Play until there is a report of each of these downloads."""
        async with asyncio.timeout(timeout_s):
            while not set(indexes) <= set(self.reports):
                service, body = await self.node.messages.get()
                await self._react(service, body)

    async def _react(self, service: str, body: Any) -> None:
        index = body.get("download_index")
        if service == "start":
            await self.node.tell("start", self.offers[index].start())
        elif service == "ack":
            await self._send_next(index, body)
        elif service == "report":
            self.reports[index] = body
            outcome = {"status": 200, "message": "recorded"}
            reported = {"download_index": index, "identity": body["identity"], "outcome": outcome}
            await self.node.tell("reported", reported)

    async def _send_next(self, index: int, body: Any) -> None:
        offer = self.offers[index]
        missing = list(Ranges.parse(body["received"]).missing(offer.block_count))
        if not missing and not body.get("outcome"):
            await self.node.tell("finish", offer.named)
        for number in missing[:1]:
            self.blocks_sent.append((index, number))
            await self.node.tell("chunk", offer.block(number))


async def begin(vehicle: Vehicle, offer: Offer, *blocks: int) -> None:
    """Bring a download to where these blocks are acknowledged."""
    await vehicle.node.tell("notify", notify(offer))
    await vehicle.node.heard("start")
    await vehicle.node.tell("start", offer.start())
    assert (await vehicle.node.heard("ack"))["received"] == ""
    for number in blocks:
        await vehicle.node.tell("chunk", offer.block(number))
        await acknowledged(vehicle, number)


async def acknowledged(vehicle: Vehicle, number: int) -> dict[str, Any]:
    """Wait for the acknowledgement that names a block."""
    while True:
        body: dict[str, Any] = await vehicle.node.heard("ack")
        if number in Ranges.parse(body["received"]):
            return body


@dataclass
class Vehicle:
    """The two programs, their files, and clients that hold their credentials."""

    folder: Path
    node: PlayedNode
    client_settings: ClientSettings
    slm_settings: SlmSettings
    key: Ed25519PrivateKey
    client: ClientProgram | None = None
    slm: SlmProgram | None = None

    @property
    def root(self) -> Path:
        return self.slm_settings.root

    def offer(self, index: int, name: str, version: str, file: Path, **more: Any) -> Offer:
        """Offer a file, signed by the key that the vehicle trusts."""
        return Offer(index, name, version, file.read_bytes(), **more).signed(self.key)

    async def start_client(self) -> None:
        self.client = ClientProgram(self.client_settings)
        await self.client.start()
        self.node.addresses.clear()
        await self.node.ready()

    async def stop_client(self) -> None:
        if self.client is not None:
            await self.client.stop()
            self.client = None

    async def start_slm(self) -> None:
        self.slm = SlmProgram(self.slm_settings)
        await self.slm.start()

    async def stop_slm(self) -> None:
        if self.slm is not None:
            await self.slm.stop()
            self.slm = None

    async def call_slm(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Response:
        """Call the Software Loading Manager as the SOTA Client does."""
        known = self.client_settings.slm_token_file.read_text()
        return await _call(self.slm_settings.port, token or known, method, path, body, headers)

    async def call_client(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Response:
        """Call the SOTA Client as the Software Loading Manager does."""
        known = self.slm_settings.client_token_file.read_text()
        return await _call(self.client_settings.port, token or known, method, path, body, headers)


@contextlib.asynccontextmanager
async def vehicle_on_disk(folder: Path, **changes: Any) -> AsyncIterator[Vehicle]:
    """Prepare a vehicle; the test starts its programs. What it started is stopped at the end.

    ``changes`` are settings; a name with ``slm_`` or ``client_`` in front is for one of them alone.
    """
    node_port, client_port, slm_port = free_ports(3)
    key = make_key_pair(folder / "keys")
    for callee, caller in (("slm", Program.SOTA_CLIENT), ("client", Program.SOFTWARE_LOADING_MANAGER)):
        write_atomic(folder / f"{callee}.token", issue(folder / f"{callee}.toml", str(caller)).encode())
    write_atomic(folder / "head-unit.token", issue(folder / "slm.toml", str(Program.HEAD_UNIT)).encode())
    client_settings = ClientSettings(
        vin=VIN,
        port=client_port,
        data=folder / "client",
        node_url=f"http://127.0.0.1:{node_port}",
        slm_url=f"http://127.0.0.1:{slm_port}",
        slm_token_file=folder / "slm.token",
        credentials_file=folder / "client.toml",
        keys=folder / "keys",
        register_s=0.2,
        local_retry_s=0.1,
        local_retry_max_s=0.5,
        **{**QUICK, **_for("client_", changes)},
    )
    slm_settings = SlmSettings(
        vin=VIN,
        port=slm_port,
        data=folder / "slm",
        root=folder / "root",
        client_url=f"http://127.0.0.1:{client_port}",
        client_token_file=folder / "client.token",
        credentials_file=folder / "slm.toml",
        keys=folder / "keys",
        **{**QUICK, "remind_s": 1.0, **_for("slm_", changes)},
    )
    vehicle = Vehicle(folder, PlayedNode(node_port), client_settings, slm_settings, key)
    await vehicle.node.start()
    try:
        yield vehicle
    finally:
        await vehicle.stop_client()
        await vehicle.stop_slm()
        await vehicle.node.stop()


@contextlib.asynccontextmanager
async def running_vehicle(folder: Path, **changes: Any) -> AsyncIterator[Vehicle]:
    """Run a vehicle's two programs."""
    async with vehicle_on_disk(folder, **changes) as vehicle:
        await vehicle.start_slm()
        await vehicle.start_client()
        yield vehicle


def _for(prefix: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}


async def _call(port: int, token: str, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Response:
    client = HttpClient(f"http://127.0.0.1:{port}", token)
    try:
        sent = dict(headers)
        if body is not None:
            sent["content-type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        return await client.request(method, path, body=content, headers=sent)
    finally:
        await client.close()
