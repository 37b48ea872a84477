"""``sota ctl`` as an operator types it, against the real Web Server, Core and Resolver."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority
from sota.boundaries.interaction import Role
from sota.boundaries.package_signature import make_key_pair
from sota.rvi.credentials import Identity
from sota.web.accounts.service import issue_token
from tests.support.names import new_name, new_vin
from tests.support.operator import REQUEST, Operator

pytestmark = pytest.mark.anyio


async def test_the_everyday_job(operator: Operator, tmp_path: Path) -> None:
    vin, name, rule = new_vin(), new_name("ivi"), new_name("rule")
    make_key_pair(tmp_path)
    file = tmp_path / "ivi.deb"
    file.write_bytes(b"content of a package")
    package = f"{name}/2.1.0"
    assert (await operator.types("vehicles", "add", vin)).output == f"{vin}: Row Inserted\n"
    uploaded = await operator.types(
        "packages", "upload", str(file), "--name", name, "--version", "2.1.0", "--installer", "deb",
        "--key", str(tmp_path / "packages.key.pem"),
    )  # fmt: skip
    assert uploaded.output.startswith(f"{package}: ")
    shown = json.loads((await operator.types("packages", "show", package, "--json")).output)
    assert (shown["size"], shown["signed"]) == (20, True)

    unfiltered = await operator.types("campaigns", "create", package, "--within", "14d", code=1)
    assert unfiltered.errors == (f"sota: No filters associated with package: {unfiltered.errors.split(': ', 2)[2]}")
    assert "sota ctl filters attach" in unfiltered.errors
    await operator.types("filters", "add", rule, f'vin_matches "^{vin}$"')
    await operator.types("filters", "attach", rule, package)
    assert rule in (await operator.types("filters", "list", rule)).output
    with_filters = await operator.types("packages", "show", package)
    assert re.search(rf'^filter +{rule}: vin_matches "\^{vin}\$"$', with_filters.output, re.MULTILINE)
    detached = await operator.types("filters", "detach", rule, package)
    assert detached.output == f"{package} without {rule}: Filter detached\n"
    assert "none: it goes nowhere" in (await operator.types("packages", "show", package)).output
    await operator.types("filters", "attach", rule, package)
    created = await operator.types("campaigns", "create", package, "--within", "14d", "--name", "first")
    found = REQUEST.search(created.output)
    assert found is not None, created
    listed = json.loads((await operator.types("requests", "list", "--package", package, "--json")).output)
    assert [entry["install_request_id"] for entry in listed] == [found[1]]
    assert re.search(rf"{vin} +pending", (await operator.types("requests", "vehicles", found[1])).output)
    assert (await operator.types("requests", "cancel", found[1])).output == "1 cancelled\n"
    watched = await operator.types("requests", "watch", found[1])
    assert "cancelled: 0 pending, 0 in flight, 0 installed, 0 failed, 1 cancelled" in watched.output
    assert (await operator.types("requests", "retry", found[1])).output == "1 tried again\n"
    timed_out = await operator.types("requests", "watch", found[1], "--timeout", "1s", code=1)
    assert "is not over after 1s" in timed_out.errors


async def test_vehicles_are_imported_again_without_harm(operator: Operator, tmp_path: Path) -> None:
    vins = [new_vin("WBA") for _ in range(20)]
    file = tmp_path / "vins"
    mark = "\ufeff"  # as some editors begin a file
    file.write_text(mark + "\n".join([*vins[:10], "", *(json.dumps({"vin": vin}) for vin in vins[10:])]), "utf-8")
    first = await operator.types("vehicles", "import", str(file))
    assert first.output == "20 registered, 0 were registered already\n"
    again = await operator.types("vehicles", "import", str(file), "--json")
    assert json.loads(again.output) == {"registered": 0, "already_registered": 20}
    listed = json.loads((await operator.types("vehicles", "list", "^WBA", "--limit", "7", "--json")).output)
    assert len(listed) == 7
    typed = await operator.types("vehicles", "import", "-", typed=f"{mark}{vins[0]}\n{new_vin('WBA')}\n")
    assert typed.output == "1 registered, 1 were registered already\n"
    file.write_text("no vin")
    assert "line 1" in (await operator.types("vehicles", "import", str(file), code=2)).errors


async def test_a_vehicle_is_shown_and_retired(operator: Operator) -> None:
    vin = await operator.backend.with_vehicle()
    assert re.search(rf"VIN +{vin}\nconnected +no\n", (await operator.types("vehicles", "show", vin)).output)
    assert "Say --yes" in (await operator.types("vehicles", "retire", vin, code=2)).errors
    assert (await operator.types("vehicles", "retire", vin, "--yes")).output == f"{vin}: Vehicle retired\n"


async def test_identities_from_enrolment_to_revocation(operator: Operator, tmp_path: Path) -> None:
    vin, folder = await operator.backend.with_vehicle(), tmp_path / "identity"
    none = await operator.types("vehicles", "enrol", vin, "--out", str(folder), code=1)
    assert none.errors.startswith("sota: No authority here: ")
    Authority.open(operator.backend.core.settings.authority)
    await operator.types("vehicles", "enrol", vin, "--out", str(folder))
    assert Identity.read(folder, time.time()).rights.vin == vin
    assert (folder / "device.key").stat().st_mode & 0o777 == 0o600
    assert (
        "Vehicle has an identity"
        in (await operator.types("vehicles", "enrol", vin, "--out", str(folder), code=1)).errors
    )
    own = tmp_path / "own"
    code = json.loads((await operator.types("vehicles", "code", vin, "--valid", "10m", "--json")).output)["code"]
    command = ("identity", "enrol", vin, "--code", code, "--to", str(own))
    there = ("--server", f"http://127.0.0.1:{operator.backend.web.port}")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sota.cli", *command, *there)
    assert await process.wait() == 0
    assert Identity.read(own, time.time()).rights.vin == vin
    listed = json.loads((await operator.types("vehicles", "identities", vin, "--json")).output)
    assert [(one["issued_by"], "revoked_at" in one) for one in listed] == [("code", False), ("operator", True)]
    done = await operator.types("vehicles", "revoke", vin, "stolen")
    assert done.output == f"{vin}: 1 revoked; no other identity of it counts until it is enrolled again\n"
    await operator.types("vehicles", "revoked", "--out", str(tmp_path / "list"))
    entries = (tmp_path / "list").read_text().split()
    assert {one["fingerprint"] for one in listed} <= set(entries)
    assert re.search(r"SOTA .*yes +0", (await operator.types("authority")).output)


async def test_an_own_key_is_signed_by_way_of_files(operator: Operator, tmp_path: Path) -> None:
    vin = await operator.backend.with_vehicle()
    Authority.open(operator.backend.core.settings.authority)
    own, made = tmp_path / "own", tmp_path / "made"
    arguments = (sys.executable, "-m", "sota.cli", "identity")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, "request", vin, "--to", str(own), stdout=pipe)
    request, _ = await process.communicate()
    (tmp_path / "request.csr").write_bytes(request)
    await operator.types("vehicles", "enrol", vin, "--out", str(made), "--request", str(tmp_path / "request.csr"))
    assert not (made / "device.key").exists()
    process = await asyncio.create_subprocess_exec(*arguments, "install", str(made), "--to", str(own))
    assert await process.wait() == 0
    assert Identity.read(own, time.time()).rights.vin == vin


async def test_a_refusal_says_what_to_do_next(operator: Operator) -> None:
    unknown = await operator.types("vehicles", "list", SOTA_TOKEN="x" * 40, code=1)
    assert unknown.errors.startswith("sota: Unauthorized: ")
    assert "sota tokens new" in unknown.errors
    viewer = await issue_token(operator.backend.web.db, Role.VIEWER, "viewer")
    forbidden = await operator.types("vehicles", "add", new_vin(), SOTA_TOKEN=viewer, code=1)
    assert forbidden.errors.startswith("sota: Forbidden: ")
    duplicate = await operator.backend.with_vehicle()
    assert "VIN already exists" in (await operator.types("vehicles", "add", duplicate, code=1)).errors


@pytest.mark.parametrize(
    ("arguments", "variables", "text"),
    [
        (("status",), {"SOTA_URL": ""}, "no server"),
        (("status",), {"SOTA_TOKEN": ""}, "no token"),
        (("status",), {"SOTA_URL": "http://sota.example"}, "https:// only"),
        (("status",), {"SOTA_URL": "sota.example"}, "not an address"),
        (("status", "--profile", "nowhere"), {}, "no [profiles.nowhere]"),
        (("packages", "show", "ivi"), {}, "NAME/VERSION"),
        (("requests", "create", "ivi/1.0.0"), {}, "until when"),
        (("requests", "create", "ivi/1.0.0", "--within", "soon"), {}, "no length of time"),
    ],
)
async def test_wrong_usage_ends_with_2(
    operator: Operator, arguments: tuple[str, ...], variables: dict[str, str], text: str
) -> None:
    assert text in (await operator.types(*arguments, code=2, **variables)).errors


async def test_a_server_that_is_away_ends_with_3(operator: Operator) -> None:
    away = await operator.types("status", SOTA_URL="http://127.0.0.1:9", code=3)
    assert "is not reachable" in away.errors


async def test_a_profile_says_where_and_with_what(operator: Operator) -> None:
    folder = operator.home / ".config" / "sota"
    folder.mkdir(parents=True)
    (folder / "token").write_text(operator.token)
    web = operator.backend.web
    (folder / "ctl.toml").write_text(
        f'url = "https://localhost:{web.https_port}"\nca = "{web.certificate}"\ntoken_file = "{folder / "token"}"\n'
        f'[profiles.plain]\nurl = "http://127.0.0.1:{web.port}"\ntoken_file = "{folder / "token"}"\n'
    )
    try:
        assert "open requests" in (await operator.types("status", SOTA_URL="", SOTA_TOKEN="")).output
        plain = await operator.types("status", "--json", SOTA_PROFILE="plain", SOTA_URL="", SOTA_TOKEN="")
        assert json.loads(plain.output)["updates_in_flight"] == 0
    finally:
        (folder / "ctl.toml").unlink()
