"""The vehicle's identity: renewed by Core over the link, authenticated by the present one.

Rules kept here:

* the vehicle regularly reports its identity to Core. Core decides by its own clock whether to renew it, since the
  vehicle's clock may be wrong. Pauses here are measured by the monotonic clock;
* a new key is created here and never leaves the vehicle; only the request for its certificate does;
* a new identity is accepted only if it is for this VIN and this key, and signed by a trust anchor. New trust anchors
  are accepted only if one of them is trusted already;
* key, certificate, credential and anchors change together or not at all, even if the power fails. The node reads them
  when they have changed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.b7_core_rvi.identity_messages import NewIdentity, RenewIdentity
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.binding.call import Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.rvi_service import Message
from sota.client.identity_key import PENDING_KEY, PENDING_REQUEST
from sota.client.settings import ClientSettings
from sota.kit.errors import Invalid, SotaError
from sota.kit.files.durable import finish_replacing, replace_together
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.kit.security import rs256, x509

KEY_TIMEOUT_S = 120.0
MAX_ANCHORS = 8


class UnusableKey(Invalid):
    """The pending key is damaged."""


class IdentityRenewal:
    """Renews the identity in ``settings.identity``; does nothing if that is not set."""

    def __init__(self, settings: ClientSettings, edge: SotaClientEdge) -> None:
        self._settings, self._edge = settings, edge
        self._folder = settings.identity
        self._notifier = Notifier()
        self._changing = asyncio.Lock()
        self._log = get_logger(program="client")

    @serves("X-B9-31")
    async def new_identity(self, message: Message[NewIdentity]) -> Reply:
        """Accept a new identity, or prepare a request for one."""
        folder, new = self._folder, message.body
        if folder is None:
            return Reply("received")
        async with self._changing:
            if new.certificate and new.credential:
                await asyncio.to_thread(self._accept, folder, new)
                self._log.info("identity_renewed")
            elif new.anchors:
                anchors = _anchors(new.anchors, folder)
                replace_together(folder, {"root.pem": anchors})
                self._log.info("trust_anchors_changed")
            if new.due:
                await self._make_key(folder)
        if new.due:
            self._notifier.notify()
        return Reply("received")

    async def run(self) -> None:
        """Report the identity to Core, and request the next one until it arrives; until cancelled."""
        if self._folder is None:
            return
        settings = self._settings
        pause, retry = settings.identity_first_check_s * random.uniform(0.5, 1.5), settings.retry_s  # noqa: S311 - jitter, no secret
        await self._notifier.wait(self._notifier.count, pause)
        while True:
            heard = self._notifier.count
            try:
                asked = await self._report(self._folder)
            except (SotaError, OSError, ValueError) as error:
                self._log.info("identity_not_reported", detail=str(error))
                asked = True
            retry = min(retry * 2, settings.retry_max_s) if asked else settings.retry_s
            pause = retry if asked else settings.identity_check_s
            await self._notifier.wait(heard, pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret

    async def _report(self, folder: Path) -> bool:
        """Report the present identity to Core; returns whether a new one was requested."""
        finish_replacing(folder)
        request_file = folder / PENDING_REQUEST
        if _same(folder / PENDING_KEY, folder / "device.key"):  # it was accepted before a loss of power
            _forget_pending(folder)
        request = request_file.read_bytes().decode("ascii", "replace") if request_file.exists() else None
        if request is not None and not _is_request(request):
            self._log.error("pending_identity_damaged", file=str(request_file), hint="another key is made")
            _forget_pending(folder)
            request = None
        anchors = hashlib.sha256((folder / "root.pem").read_bytes()).hexdigest()
        ends = _end_of((folder / "credential.jwt").read_text("ascii"))
        await self._edge.renew_identity(
            RenewIdentity(vin=self._settings.vin, anchors=anchors, expires_at=ends, request=request)
        )
        return request is not None

    async def _make_key(self, folder: Path) -> None:
        if (folder / PENDING_KEY).exists() and (folder / PENDING_REQUEST).exists():
            return
        command = (sys.executable, "-m", "sota.client.identity_key", str(folder), self._settings.vin)
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(KEY_TIMEOUT_S):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise Invalid("The vehicle could not make a new key.")

    def _accept(self, folder: Path, new: NewIdentity) -> None:
        if not (folder / PENDING_KEY).exists():
            return  # it was accepted already: Core answers every request
        try:
            files = new_files(folder, self._settings.vin, new)
        except UnusableKey:
            _forget_pending(folder)  # Core asks for a new one when it learns that there is no request
            raise
        replace_together(folder, files)
        _forget_pending(folder)


def new_files(folder: Path, vin: str, new: NewIdentity) -> dict[str, bytes]:
    """Check a new identity for the pending key of a folder; returns its files.

    Raises:
        Invalid: it is not for this vehicle or key, or no trusted authority signed it.
    """
    key = (folder / PENDING_KEY).read_bytes()
    anchors = _anchors(new.anchors, folder) if new.anchors else (folder / "root.pem").read_bytes()
    certificate, credential = (new.certificate or "").encode(), (new.credential or "").strip()
    try:
        der = x509.read_pem(certificate)[0]
        claims = _claims(credential, anchors)
        bound = base64.b64decode(claims["device_cert"], validate=True)
        if x509.common_name(der) != vin or bound != der:
            raise ValueError("it is another vehicle's")
        if claims["right_to_receive"] != [f"genivi.org/vin/{vin}/"]:
            raise ValueError("it gives no right to receive for this vehicle alone")
        with tempfile.TemporaryDirectory(dir=folder) as name:  # OpenSSL compares key and certificate, in files
            own, its = Path(name, "pem"), Path(name, "key")
            own.write_bytes(certificate)
            its.touch(mode=0o600)
            its.write_bytes(key)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(own, its)
    except (KeyError, TypeError, ValueError, ssl.SSLError) as error:
        if isinstance(error, ssl.SSLError) and error.reason != "KEY_VALUES_MISMATCH":
            raise UnusableKey(f"The pending key is damaged: {error}") from None
        raise Invalid(f"The new identity is refused: {error}") from None
    return {
        "device.key": key, "device.pem": certificate, "credential.jwt": credential.encode(), "root.pem": anchors,
    }  # fmt: skip


def _is_request(text: str) -> bool:
    return text.isascii() and text.startswith("-----BEGIN CERTIFICATE REQUEST-----") and "-----END" in text


def _anchors(pem: str, folder: Path) -> bytes:
    """Check new trust anchors: one of them is trusted already, and all of them are usable.

    Raises:
        Invalid: they are unusable, or none is trusted.
    """
    try:
        coming = x509.read_pem(pem.encode())
        for certificate in coming:
            x509.rsa_key(certificate)
        trusted = x509.read_pem((folder / "root.pem").read_bytes())
    except ValueError as error:
        raise Invalid(f"The trust anchors are refused: {error}") from None
    if not set(coming) & set(trusted) or len(coming) > MAX_ANCHORS:
        raise Invalid("The trust anchors are refused: none of them is trusted here.")
    return pem.encode()


def _claims(credential: str, anchors: bytes) -> dict[str, Any]:  # JSON, checked by the caller
    reason = ValueError("there is no trust anchor")
    for certificate in x509.read_pem(anchors):
        try:
            return rs256.verify(credential, x509.rsa_key(certificate))
        except ValueError as error:
            reason = error
    raise reason


def _end_of(credential: str) -> int | None:
    """Return the end of our own credential's validity; the node checks the credential."""
    try:
        part = credential.split(".")[1]
        payload = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return int(payload["validity"]["stop"])
    except (IndexError, KeyError, TypeError, ValueError, msgspec.DecodeError):
        return None


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.read_bytes() == other.read_bytes()


def _forget_pending(folder: Path) -> None:
    for name in (PENDING_KEY, PENDING_REQUEST):
        (folder / name).unlink(missing_ok=True)
