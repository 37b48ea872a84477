"""An upload, from its first byte to both registers.

Rules kept here:

* a package that is registered is refused before its file is stored; two uploads of one package at the same time
  are one, if their files are the same;
* an upload is noted before its file is written, renewed while it streams, and the note is dropped in the transaction
  that stores the registration: after a kill the file is either registered or soon deleted;
* a wrong hash or signature refuses the package; nothing of it stays;
* a removed package's file is deleted last, once neither register has the package.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import NewPackage
from sota.boundaries.b3_web_resolver.messages import PackageToResolve
from sota.boundaries.binding.decorators import calls
from sota.boundaries.package_signature import SignedFields, load_public_keys, verify
from sota.boundaries.values import PackageId
from sota.kit.errors import Failed, Invalid, Refused, StartError, TooSlow, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx
from sota.web.registers.model import Kind, NewRegistration, PackageToRemove
from sota.web.registers.service import Registers
from sota.web.repository import store
from sota.web.repository.model import Measured, new_key
from sota.web.repository.store import PackageRepository
from sota.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """Which signatures are required. Without keys a signature is passed on, for the vehicles to check."""

    keys: tuple[Ed25519PublicKey, ...] = ()
    checked: bool = False
    required: bool = False

    @classmethod
    def of(cls, folder: Path | None, *, required: bool) -> SignatureRule:
        """Read the rule from the settings.

        Raises:
            StartError: signatures are required and there is no key to check them with.
        """
        keys = tuple(load_public_keys(folder)) if folder is not None else ()
        if required and not keys:
            raise StartError("require_signature is set and package_keys holds no public key (*.pub.pem)")
        return cls(keys, folder is not None, required)

    def check(self, metadata: PackageMetadata, package: NewPackage) -> None:
        """Check a stored package against the rule.

        Raises:
            Invalid: unsigned where that is not allowed, or the signature does not hold.
        """
        if metadata.signature is None:
            if self.required:
                raise Invalid("This package is not signed, and only signed packages are taken.")
            return
        if not self.checked:
            return
        fields = SignedFields(
            package.name, package.version, package.size, package.sha256, package.installer, package.target or ""
        )
        try:
            verify(msgspec.to_builtins(metadata.signature), self.keys, fields)
        except Refused as error:
            raise Invalid(f"The package's signature does not hold: {error.detail}") from None


class Uploads:
    """Accepts uploads of packages."""

    def __init__(
        self,
        db: Database,
        repository: PackageRepository,
        registers: Registers,
        core: CoreClient,
        signatures: SignatureRule,
        clock: Clock,
        settings: WebSettings,
    ) -> None:
        self._db, self._repository, self._registers, self._core = db, repository, registers, core
        self._signatures, self._clock = signatures, clock
        self._timeout_s = settings.upload_timeout_s
        self._note_holds = timedelta(seconds=settings.upload_note_s)
        self._log = get_logger(feature="repository")

    async def _refuse_known(self, metadata: PackageMetadata) -> None:
        try:
            await self._core.package(PackageId(name=metadata.name, version=metadata.version))
        except Refused as error:
            if error.code == "not_found":
                return
            raise
        except Unavailable as error:  # Core is the first register: without it nothing is stored
            self._log.warning("neighbour_away", reason=error.detail)
            raise Unavailable("SOTA Core does not answer now: try again.") from None
        raise Refused("package_exists", f"{metadata.name}/{metadata.version} is registered: upload another version.")

    @calls("WL-B13-1")
    async def store(self, metadata: PackageMetadata, content: AsyncIterator[bytes]) -> None:
        """Store the file and register the package in both registers.

        Raises:
            Invalid: the file is not what the metadata say.
            Refused: ``package_exists``, ``storing_failed``, or Core's refusal.
            TooSlow: it took too long.
            Unavailable: not both registers for now; it is stored and will be completed.
        """
        await self._refuse_known(metadata)
        key, measured, now = new_key(), Measured(), self._clock.now()
        await self._db.transact(lambda tx: store.note_upload(tx, key, now, now + self._note_holds))
        renewing = asyncio.create_task(self._renew(key), name=f"upload:{key}")
        claimed = False
        try:
            async with asyncio.timeout(self._timeout_s):
                if await self._repository.write(key, measured.watch(content)) != "success":
                    raise Refused("storing_failed", "The package repository cannot store the file now.", status=500)
            package = _describe(metadata, measured, key)
            self._signatures.check(metadata, package)
            to_resolve = msgspec.convert(metadata, PackageToResolve, from_attributes=True)
            new = NewRegistration(Kind.PACKAGE, f"package {metadata.name}/{metadata.version}", package, to_resolve, key)

            async def claim(tx: Tx) -> None:
                nonlocal claimed
                if not await store.forget_upload(tx, key):  # delayed for so long that the file was deleted
                    raise Refused("storing_failed", "The upload was interrupted: send it again.", status=500)
                claimed = True

            await self._registers.register(new, together_with=claim)
        except Refused:
            if claimed:  # another request registered it meanwhile: delete the file now, not in the next round
                with contextlib.suppress(Unavailable):
                    await asyncio.shield(self.sweep())
            raise
        except TimeoutError:
            raise TooSlow("The upload took too long.") from None
        finally:
            renewing.cancel()
            if not claimed:  # also if this upload joined another one, whose file stays
                await asyncio.shield(self._discard(key))

    async def remove(self, package: PackageId) -> None:
        """Remove a package from both registers; its file is deleted last.

        Raises:
            Refused: ``not_found``, or ``package_in_use``.
            Unavailable: not both registers for now; it is stored and will be completed.
        """
        file = await self._core.package_file(package)
        new = NewRegistration(
            Kind.REMOVAL, f"package {package.text}", PackageToRemove(package, file.uri), package, file.uri
        )
        await self._registers.register(new)
        await self._delete(file.uri)

    async def sweep(self) -> None:
        """Delete unclaimed files: of interrupted uploads, of refused packages."""
        async with self._db.read() as tx:
            abandoned = await store.find_abandoned(tx, self._clock.now())
        for key in abandoned:
            await self._delete(key)

    async def _renew(self, key: str) -> None:
        while True:
            await asyncio.sleep(self._note_holds.total_seconds() / 4)
            delete_after = self._clock.now() + self._note_holds
            try:
                await self._db.transact(lambda tx, until=delete_after: store.touch_upload(tx, key, until))  # type: ignore[misc]
            except Unavailable as error:
                self._log.warning("upload_note_not_renewed", file=key, reason=error.detail)

    async def _discard(self, key: str) -> None:
        await self._db.transact(lambda tx: store.discard_upload(tx, key, self._clock.now()))
        await self._delete(key)

    async def _delete(self, key: str) -> None:
        try:
            await self._repository.delete(key)
        except Failed as error:
            self._log.warning("package_file_not_deleted", file=key, reason=error.detail)
            return
        await self._db.transact(lambda tx: store.forget_upload(tx, key))


def _describe(metadata: PackageMetadata, measured: Measured, key: str) -> NewPackage:
    if measured.size == 0:
        raise Invalid("The file is empty.")
    if metadata.sha256 is not None and metadata.sha256 != measured.sha256:
        raise Invalid(f"The file's SHA-256 is {measured.sha256}, not the {metadata.sha256} that was announced.")
    installer = metadata.installer or measured.installer()
    if installer is None:
        raise Invalid("The file does not say which installer takes it: name it as 'installer' in the metadata.")
    return NewPackage(
        name=metadata.name,
        version=metadata.version,
        size=measured.size,
        sha256=measured.sha256,
        sha1=measured.sha1,
        uri=key,
        installer=installer,
        description=metadata.description,
        vendor=metadata.vendor,
        target=metadata.target,
        signature=metadata.signature,
    )
