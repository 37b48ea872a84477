"""Many vehicles' links to one node, in one process: ``python -m bench.connections_sinks PORT FOLDER COUNT``.

Each connects over mutual TLS, presents a credential of its own, announces one service and counts what comes. All share
one certificate, to which their credentials are bound: a vehicle costs the node the same, and the keys of thousands
need not be made. Lines on standard output tell the parent how far it is; times are of the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import msgpack
import uvloop

AT_ONCE = 64
TOLD_EACH = 1000
FIRST_VIN = 10_000_000
MESSAGE = b"\xa3cmd\xa3rcv"


def vin(number: int) -> str:
    """Return the VIN of a vehicle of the benchmark."""
    return f"BENCH0000{FIRST_VIN + number}"


class Sinks:
    """What all of them have in common."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.greeted = self.received = 0

    def told(self) -> None:
        """Count one greeting."""
        self.greeted += 1
        if self.greeted % TOLD_EACH == 0:
            say({"connected": self.greeted})
        if self.greeted == self.count:
            say({"connected_at": time.monotonic()})

    def took(self, messages: int) -> None:
        """Count messages."""
        self.received += messages
        if self.received == self.count:
            say({"received_at": time.monotonic()})


class Sink(asyncio.Protocol):
    """One vehicle."""

    __slots__ = ("_greeting", "_number", "_sinks", "_transport", "ready")

    def __init__(self, sinks: Sinks, number: int, greeting: bytes) -> None:
        self._sinks, self._number, self._greeting = sinks, number, greeting
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._greeting)
        self._greeting = b""

    def data_received(self, data: bytes) -> None:
        if self.ready is not None and self._transport is not None:
            service = f"genivi.org/vin/{vin(self._number)}/sota/notify"
            announcement = {"cmd": "sa", "stat": "av", "svcs": [service]}
            self._transport.write(msgpack.packb(announcement, use_bin_type=False))
            self.ready.set_result(None)
            self.ready = None
            self._sinks.told()
        if messages := data.count(MESSAGE):
            self._sinks.took(messages)

    def connection_lost(self, error: Exception | None) -> None:
        say({"lost": self._number, "error": str(error)})


async def main(port: int, folder: Path, count: int) -> None:
    """Connect all, a few at a time, and stay."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "root.pem")
    context.load_cert_chain(folder / "device.pem", folder / "device.key")
    tokens = iter((folder / "tokens.txt").read_text().split())
    sinks, turns = Sinks(count), asyncio.Semaphore(AT_ONCE)

    async def connect(number: int, token: str) -> None:
        greeting = msgpack.packb({"cmd": "au", "ver": "1.0", "creds": [token]}, use_bin_type=False)
        async with turns:
            _, sink = await asyncio.get_running_loop().create_connection(
                lambda: Sink(sinks, number, greeting), "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
            )
            if sink.ready is not None:
                await sink.ready

    say({"began_at": time.monotonic()})
    await asyncio.gather(*(connect(number, token) for number, token in zip(range(count), tokens, strict=False)))
    await asyncio.Event().wait()


def say(line: dict[str, object]) -> None:
    """Report to the parent process."""
    print(json.dumps(line), flush=True)


def make_tokens(folder: Path, count: int, seconds: int = 86_400) -> None:
    """Sign a credential for each vehicle, bound to the one certificate in ``folder``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_private_key((folder.parent / "authority" / "root.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())
    device = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    now = int(time.time())
    tokens = []
    for number in range(count):
        claims = {
            "iss": "SOTA",
            "id": f"credential-{vin(number)}",
            "right_to_receive": [f"genivi.org/vin/{vin(number)}/"],
            "right_to_invoke": ["genivi.org/backend/"],
            "device_cert": device,
            "validity": {"start": now - 60, "stop": now + seconds},
        }
        content = ".".join(_part(one) for one in ({"typ": "JWT", "alg": "RS256"}, claims))
        signature = key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        tokens.append(f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")
    (folder / "tokens.txt").write_text("\n".join(tokens))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
