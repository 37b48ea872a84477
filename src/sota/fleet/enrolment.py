"""Creates a fleet in bulk: VINs, identities from the test authority, registration in Core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sota.boundaries.authority import Authority
from sota.boundaries.b12_logistics_core.client import LogisticsClient
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle, ProvisionStatus
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.boundaries.values import InstalledPackage
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder, write_atomic
from sota.kit.http.client import HttpClient

MAX_SEED, MAX_VEHICLES = 10**5, 10**6


def vins_of(count: int, seed: int) -> list[str]:
    """Return the VINs of a fleet; fleets with different seeds share none.

    >>> vins_of(2, 7)
    ['FLEET00007V000000', 'FLEET00007V000001']
    """
    return [f"FLEET{seed % MAX_SEED:05}V{number:06}" for number in range(count)]


def issue_identities(authority: Path, vins: Iterable[str], folder: Path) -> int:
    """Issue identities to the vehicles that have none yet; returns how many.

    Raises:
        StartError: there is no authority in that folder.
    """
    missing = [vin for vin in vins if not (folder / vin / "credential.jwt").exists()]
    if missing and not (authority / "root.key").exists():
        raise StartError(f"no authority in {authority}: `sota up` makes one in its data folder")
    if missing:
        signer = Authority.open(authority)
        for vin in missing:
            signer.issue_vehicle(vin, folder / vin, key=ec.generate_private_key(ec.SECP256R1()))
    return len(missing)


def prepare_secrets(folder: Path) -> Path:
    """Create the tokens between clients and loading managers: one pair for the whole fleet."""
    secrets = private_folder(folder / "secrets")
    for callee, caller, token in (
        ("slm", Program.SOTA_CLIENT, "client-to-slm"),
        ("client", Program.SOFTWARE_LOADING_MANAGER, "slm-to-client"),
    ):
        file = secrets / f"{token}.token"
        if not file.exists():
            write_atomic(file, issue(secrets / f"{callee}.toml", str(caller)).encode(), mode=0o600)
    return secrets


async def register(core_url: str, token: str, vins: Iterable[str], installed: Mapping[str, str]) -> None:
    """Register the vehicles in Core, as Logistics & Provisioning does.

    Raises:
        StartError: Core refuses a vehicle.
        Unavailable: Core does not answer.
    """
    packages = [InstalledPackage(name=name, version=version) for name, version in installed.items()]
    http = HttpClient(core_url, token, timeout_s=60.0)
    try:
        vehicles = (ProvisionedVehicle(vin=vin, packages=packages) for vin in vins)
        async for result in LogisticsClient(http).provision(vehicles):
            if result.status is ProvisionStatus.REFUSED:
                raise StartError(f"Core refuses {result.vin}: {result.detail}", exit_code=1)
    finally:
        await http.close()
