"""B9, the identity of a vehicle: the real SOTA Client renews it, before a node and an authority that the test plays."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.authority import Authority, make_request, prepare, switch
from sota.client.identity_key import PENDING_KEY, make_pending
from sota.kit.files.durable import READY, finish_replacing, write_atomic
from sota.rvi.credentials import Identity
from tests.support.vehicle import VIN, Vehicle, running_vehicle
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
OTHER = "WVW00000000000002"


class Issuer:
    """An authority, and the identity that the vehicle has of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.identity = folder / "authority", folder / "identity"
        Authority.open(self.folder).issue_vehicle(VIN, self.identity)

    def answer(self, request: str, vin: str = VIN, **more: Any) -> dict[str, Any]:
        """Return what Core would send."""
        issued = Authority.open(self.folder).sign_request(vin, request)
        return {"certificate": issued.certificate, "credential": issued.credential, **more}

    def files(self) -> dict[str, bytes]:
        """Return the identity's files."""
        return {file.name: file.read_bytes() for file in self.identity.iterdir() if file.is_file()}

    def check(self) -> None:
        """Check that the identity is whole: the key fits the certificate, and the credential both."""
        assert Identity.read(self.identity, time.time()).rights.vin == VIN
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.identity / "device.pem", self.identity / "device.key")


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
async def vehicle(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Vehicle]:
    quick = {"client_identity_first_check_s": 0.01, "client_identity_check_s": 0.2}
    async with running_vehicle(tmp_path, client_identity=issuer.identity, **quick) as running:
        yield running


async def asked_for(vehicle: Vehicle) -> str:
    """Notify the vehicle that its identity is due; return its request."""
    assert (await vehicle.node.tell("identity", {"due": True}))[0] == 200
    async with asyncio.timeout(30):
        while True:
            told = await vehicle.node.heard("renew")
            if "request" in told:
                return str(told["request"])


async def test_vehicle_tells_which_identity_it_has(vehicle: Vehicle, issuer: Issuer) -> None:
    told = await vehicle.node.heard("renew")
    stop = Identity.read(issuer.identity, time.time()).rights.credentials[0].stop
    anchors = hashlib.sha256((issuer.identity / "root.pem").read_bytes()).hexdigest()
    assert told == {"vin": VIN, "anchors": anchors, "expires_at": int(stop)}


@pytest.mark.whitelist("X-B9-31", "received")
async def test_vehicle_makes_a_key_of_its_own_and_takes_the_identity_on(vehicle: Vehicle, issuer: Issuer) -> None:
    before = issuer.files()
    request = await asked_for(vehicle)
    assert (issuer.identity / PENDING_KEY).stat().st_mode & 0o777 == 0o600
    answer = issuer.answer(request)
    assert (await vehicle.node.tell("identity", answer))[0] == 200
    after = issuer.files()
    assert set(after) == set(before)
    assert all(after[name] != before[name] for name in ("device.key", "device.pem", "credential.jwt"))
    issuer.check()
    assert (await vehicle.node.tell("identity", answer))[0] == 200  # sent once more: nothing to do
    assert issuer.files() == after


@pytest.mark.whitelist("X-B9-31", "received")
async def test_vehicle_follows_one_authority_to_the_next(vehicle: Vehicle, issuer: Issuer) -> None:
    prepare(issuer.folder)
    both = Authority.open(issuer.folder).anchors_pem
    assert (await vehicle.node.tell("identity", {"anchors": both.decode()}))[0] == 200
    assert issuer.files()["root.pem"] == both
    issuer.check()
    switch(issuer.folder)
    request = await asked_for(vehicle)
    new = Authority.open(issuer.folder)
    await vehicle.node.tell("identity", issuer.answer(request, anchors=new.anchors_pem.decode()))
    issuer.check()
    assert issuer.files()["root.pem"].startswith(new.root_pem)


@pytest.mark.whitelist("X-B9-31", "invalid")
async def test_what_is_no_identity_of_this_vehicle_changes_nothing(vehicle: Vehicle, issuer: Issuer) -> None:
    request = await asked_for(vehicle)
    before = issuer.files()
    stranger = Authority.create("a stranger")
    good, others = issuer.answer(request), issuer.answer(make_request(VIN)[1])
    wrong = [
        issuer.answer(request, vin=OTHER),
        others,  # for another key
        {**good, "credential": others["credential"]},
        {**good, "certificate": others["certificate"]},
        {**good, "credential": "a.b.c"},
        {**good, "certificate": "no certificate"},
        {**good, "anchors": stranger.root_pem.decode()},
        {**good, "credential": stranger.sign_request(VIN, request).credential},
        {"anchors": stranger.root_pem.decode()},
        {"anchors": "no anchors"},
    ]
    answers = [await vehicle.node.tell("identity", body) for body in wrong]
    assert [status for status, _ in answers] == [400] * len(wrong)
    assert issuer.files() == before
    assert (await vehicle.node.tell("identity", good))[0] == 200
    issuer.check()


@pytest.mark.parametrize("moved", range(5))
def test_files_change_together_wherever_the_power_goes(issuer: Issuer, moved: int) -> None:
    key, request = make_request(VIN)
    answer = issuer.answer(request)
    files = {
        "device.key": key,
        "device.pem": answer["certificate"].encode(),
        "credential.jwt": answer["credential"].encode(),
        "root.pem": (issuer.identity / "root.pem").read_bytes(),
    }
    ready = issuer.identity / READY
    ready.mkdir()
    for name, content in files.items():
        write_atomic(ready / name, content)
    for name in sorted(files)[:moved]:  # so far it came
        (ready / name).replace(issuer.identity / name)
    issuer.check()
    assert {name: issuer.files()[name] for name in files} == files
    finish_replacing(issuer.identity)
    issuer.check()


def test_a_key_is_made_once(issuer: Issuer) -> None:
    command = (sys.executable, "-m", "sota.client.identity_key", str(issuer.identity), VIN)
    subprocess.run(command, check=True, timeout=60)
    first = (issuer.identity / PENDING_KEY).read_bytes()
    make_pending(issuer.identity, VIN)
    assert (issuer.identity / PENDING_KEY).read_bytes() == first


async def test_a_vehicle_without_a_folder_for_it_renews_nothing(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, client_identity_first_check_s=0.01) as vehicle:
        assert (await vehicle.node.tell("identity", {"due": True}))[0] == 200

        async def registered() -> bool:
            return "identity" in vehicle.node.addresses

        await until(registered, "the service is there all the same")
        assert [service for service, _ in vehicle.node.seen if "renew" in service] == []
