"""A vehicle's identity from its enrolment to its revocation, over a change of the authority, with all programs real."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.authority import Authority, prepare, retire, switch
from sota.boundaries.b2_web_core.identity_messages import IssuedBy, NewEnrolment, Revocation
from sota.cli.identity_files import write_identity
from sota.kit.security import x509
from tests.support.system import System, running_system
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
VIN = "WVWZZZ1KZ7W000077"


async def connected(system: System, *, is_it: bool = True) -> None:
    async def look() -> bool:
        return (await system.web.vehicle(VIN)).connected is is_it

    await until(look, f"the vehicle is {'' if is_it else 'not '}connected", timeout_s=60)


async def enrolled(system: System) -> VehicleFiles:
    """Enrol a vehicle over the API, and start its programs, each a process of its own."""
    car = await system.add_vehicle(VIN, apart=True, start=False)
    write_identity(car.identity, await system.web.enrol(VIN, NewEnrolment()))
    system.programs[f"{VIN}/client"].environment |= {
        "SOTA_CLIENT_IDENTITY": str(car.identity),
        "SOTA_CLIENT_IDENTITY_FIRST_CHECK_S": "1",
        "SOTA_CLIENT_IDENTITY_CHECK_S": "1",
    }
    await system.restart(*(f"{VIN}/{part}" for part in ("node", "client", "slm")))
    await connected(system)
    return car


@pytest.mark.slow
async def test_vehicle_follows_the_authority_until_it_is_revoked(tmp_path: Path) -> None:
    folder = tmp_path / "system"
    authority, node = folder / "backend" / "authority", folder / "backend" / "node" / "identity"
    settings = {"core": {"authority": authority}, "node": {"revoked": folder / "backend" / "core" / "revoked.txt"}}
    async with running_system(folder, settings=settings) as system:
        car = await enrolled(system)
        first = (car.identity / "device.pem").read_bytes()

        prepare(authority)
        Authority.open(authority).issue_backend(node)

        async def knows_both() -> bool:
            return len(x509.read_pem((car.identity / "root.pem").read_bytes())) == 2

        await until(knows_both, "the vehicle has both trust anchors", timeout_s=60)
        switch(authority)
        Authority.open(authority).issue_backend(node)

        async def is_renewed() -> bool:
            return (car.identity / "device.pem").read_bytes() != first

        await until(is_renewed, "the vehicle has another identity", timeout_s=60)
        retire(authority)
        Authority.open(authority).issue_backend(node)
        system.kill("node")
        await system.restart("node")
        await connected(system)
        latest, former = (await system.web.identities_of(VIN)).items
        assert (latest.issued_by, former.issued_by) == (IssuedBy.RENEWAL, IssuedBy.OPERATOR)
        assert latest.issuer == Authority.open(authority).issuer != former.issuer
        assert latest.fingerprint == x509.fingerprint(x509.read_pem((car.identity / "device.pem").read_bytes())[0])

        assert (await system.web.revoke_identities(VIN, Revocation(reason="stolen"))).revoked == 2
        await connected(system, is_it=False)
