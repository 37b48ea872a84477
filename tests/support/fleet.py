"""``sota fleet`` beside a running system: its process, what it prints, packages of any size for it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.package_signature import SignedFields, sign
from sota.boundaries.values import PackageId, SignatureEnvelope
from tests.support.processes import ProgramProcess
from tests.support.system import System

CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class RandomFile:
    """A package of random bytes: a simulated vehicle takes any file but one for the installer ``image``."""

    id: PackageId
    content: bytes
    installer: str = "deb"

    @classmethod
    def make(cls, name: str, version: str, size: int, *, seed: int = 1) -> RandomFile:
        """Make a file of ``size`` bytes, the same for the same seed."""
        return cls(PackageId(name=name, version=version), random.Random(f"{seed}{name}{version}").randbytes(size))

    async def upload(self, system: System) -> None:
        """Upload it, signed by the key that the system's vehicles trust."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        fields = SignedFields(self.id.name, self.id.version, len(self.content), sha256, self.installer)
        metadata = PackageMetadata(
            name=self.id.name,
            version=self.id.version,
            installer=self.installer,
            signature=msgspec.convert(sign(system.signing_key, fields), SignatureEnvelope),
        )
        await system.web.upload_package(metadata, self._parts(), f"{self.id.name}.bin")

    async def _parts(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self.content), CHUNK):
            yield self.content[begin : begin + CHUNK]


class FleetProcess(ProgramProcess):
    """``sota fleet``, whose vehicles a system's backend updates. It continues after a kill and a start."""

    def __init__(
        self,
        system: System,
        folder: Path,
        vehicles: int,
        *,
        seed: int = 1,
        link: int | None = None,
        profile: str = "",
        options: Sequence[str] = (),
    ) -> None:
        self.vehicles, self.seed, self.data = vehicles, seed, folder / "fleet"
        self.data.mkdir(parents=True, exist_ok=True)
        (folder / "profile.toml").write_text(profile)
        arguments = {
            "vehicles": vehicles,
            "seed": seed,
            "backend": f"tls://127.0.0.1:{link or system.ports.link}",
            "backend-data": system.data,
            "core": f"http://127.0.0.1:{system.ports.core}",
            "data": self.data,
            "profile": folder / "profile.toml",
            "keys": system.folder / "signing",
        }
        options = [*(part for name, value in arguments.items() for part in (f"--{name}", str(value))), *options]
        super().__init__("fleet", ["fleet", *options], folder / "fleet.log")

    @property
    def expression(self) -> str:
        """The filter that chooses these vehicles."""
        return f'vin_matches "^FLEET{self.seed:05}V"'

    async def run_once(self, timeout_s: float) -> tuple[int, dict[str, Any]]:
        """Wait until the process, started with --once, ends; return its exit code and its summary."""
        assert self._process is not None
        code = await asyncio.to_thread(self._process.wait, timeout_s)
        return code, self.summary()

    @property
    def has_summary(self) -> bool:
        """Whether it printed its summary, as it does at its end."""
        return "\n{\n" in self.log.read_text()

    def summary(self) -> dict[str, Any]:
        """Read the summary that it printed last, after its lines of progress."""
        text = self.log.read_text()
        begin = text.rindex("\n{\n")
        document = msgspec.json.decode(text[begin : text.index("\n}\n", begin) + 3])
        assert isinstance(document, dict)
        return document
