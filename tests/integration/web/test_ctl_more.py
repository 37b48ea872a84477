"""The further commands of ``sota ctl``: expressions, plans, groups, corrections, accounts, tokens, the audit trail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sota.boundaries.interaction import Role
from sota.core.vehicles import store as vehicle_store
from sota.web.accounts.service import issue_token
from tests.support.names import new_name
from tests.support.operator import REQUEST, Operator

pytestmark = pytest.mark.anyio


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_expressions_are_checked_tidied_and_tried_out(operator: Operator) -> None:
    vin = await operator.backend.with_vehicle()
    assert (await operator.types("filters", "check", 'vin_matches "^WVW"')).output == "can be evaluated\n"
    wrong = await operator.types("filters", "check", 'vin_matchez "^WVW"', code=1)
    first, shown, caret, *meant = wrong.errors.splitlines()
    assert first.startswith("sota: line 1, column 1: ")
    assert (shown, caret) == ('  vin_matchez "^WVW"', "  ^")
    assert meant == ["  Is vin_matches meant?"]
    told = json.loads((await operator.types("filters", "check", "NOT", "--json", code=1)).output)
    assert (told["valid"], told["error"]["column"]) == (False, 4)
    tidy = await operator.types("filters", "format", f'  vin_matches   "^{vin}$"  ')
    assert tidy.output == f'vin_matches "^{vin}$"\n'
    assert (await operator.types("filters", "format", "(", code=1)).output == ""
    chosen = await operator.types("filters", "preview", f'vin_matches "^{vin}$"')
    assert chosen.output == f"1 vehicles, for example {vin}\n"
    assert (await operator.types("filters", "preview", "-", code=1, typed="vin_matches")).output == ""


async def test_what_a_request_decides_before_and_after(operator: Operator) -> None:
    vin, other = await operator.backend.with_vehicle(), await operator.backend.with_vehicle()
    package = await operator.backend.with_targeted_package()
    needed = await operator.backend.with_package()
    previewed = json.loads((await operator.types("packages", "preview", package, "--json")).output)
    assert previewed["chosen"] >= 2
    assert needed in (await operator.types("packages", "declare", package, needed)).output
    assert needed in (await operator.types("packages", "needs", package, "--recursive")).output
    assert "which packages" in (await operator.types("packages", "declare", package, code=2)).errors
    explained = await operator.types("vehicles", "explain", vin, package)
    assert explained.output.startswith(f"{vin}: in\n")
    assert f"1. {needed}: " in explained.output
    unsaved = await operator.types("vehicles", "explain", vin, "--expression", f'vin_matches "^{other}$"')
    assert unsaved.output.startswith(
        f"{vin}: out, the expression is false for it\nfalse expression\n  false vin_matches"
    )
    assert "either a package" in (await operator.types("vehicles", "explain", vin, code=2)).errors
    assert "Say --yes" in (await operator.types("packages", "drop", package, code=2)).errors
    assert (await operator.types("packages", "drop", package, needed.partition("/")[0], "--json")).output == "[]\n"

    created = await operator.types("requests", "create", package, "--within", "1d")
    found = REQUEST.search(created.output)
    assert found is not None
    request = json.loads((await operator.types("requests", "show", found[1], "--json")).output)
    [resolution] = request["resolutions"]
    assert f"resolution  {resolution}\n" in (await operator.types("requests", "show", found[1])).output
    assert package in (await operator.types("resolutions", "show", resolution)).output
    chosen = await operator.types("resolutions", "vehicles", resolution, "--all")
    assert {vin, other} <= set(chosen.output.split())
    assert (await operator.types("resolutions", "left-out", resolution, "--json")).output == "[]\n"
    assert (await operator.types("resolutions", "difference", resolution, resolution, "--json")).output == "[]\n"
    assert (await operator.types("requests", "completed", found[1], "--json")).output == "[]\n"


async def test_a_queue_is_put_in_another_order(operator: Operator) -> None:
    vin = await operator.backend.with_vehicle()
    rule = new_name("rule")
    await operator.types("filters", "add", rule, f'vin_matches "^{vin}$"')
    packages = [await operator.backend.with_package() for _ in range(2)]
    for package in packages:
        await operator.types("filters", "attach", rule, package)
    assert "which packages" in (await operator.types("requests", "create", "--within", "1d", code=2)).errors
    created = await operator.types("requests", "create", *packages, "--within", "1d")
    assert REQUEST.search(created.output) is not None
    queue = [
        update["update_id"] for update in json.loads((await operator.types("vehicles", "queue", vin, "--json")).output)
    ]
    ordered = json.loads((await operator.types("vehicles", "order", vin, *reversed(queue), "--json")).output)
    assert [update["update_id"] for update in ordered] == list(reversed(queue))
    shown = await operator.types("requests", "update", queue[0])
    assert f"VIN              {vin}\n" in shown.output
    assert "status           pending\n" in shown.output


async def test_groups_and_attributes(operator: Operator, tmp_path: Path) -> None:
    vins = [await operator.backend.with_vehicle() for _ in range(3)]
    name = new_name("group")
    assert (await operator.types("groups", "keep", name, "--description", "pilots")).output == f"{name}: 0 vehicles\n"
    (tmp_path / "vins").write_text("\n".join(vins[1:]))
    unknown = "WVW" + "0" * 14
    added = await operator.types("groups", "add", name, vins[0], unknown, "--file", str(tmp_path / "vins"))
    assert added.output == f"{name}: 3 joined; not registered: {unknown}\n"
    assert (await operator.types("groups", "remove", name, vins[2])).output == f"{name}: 1 left\n"
    assert (await operator.types("groups", "vehicles", name)).output.split() == ["VIN", *sorted(vins[:2])]
    assert f"{name}" in (await operator.types("groups", "list", "--all")).output
    assert "vehicles     2\n" in (await operator.types("groups", "show", name)).output
    assert (await operator.types("groups", "delete", name, "--yes")).output.startswith(f"{name}: ")
    assert "which vehicles" in (await operator.types("groups", "add", name, code=2)).errors

    await operator.types("vehicles", "attributes", vins[0], "--set", "market=NO", "--set", "colour=red")
    left = await operator.types("vehicles", "attributes", vins[0], "--drop", "colour", "--json")
    assert json.loads(left.output) == {"market": "NO"}
    assert "market" in (await operator.types("vehicles", "attributes", vins[0])).output
    assert "NAME=VALUE" in (await operator.types("vehicles", "attributes", vins[0], "--set", "x", code=2)).errors


async def test_what_is_known_of_a_vehicle_is_corrected(operator: Operator) -> None:
    vin = await operator.backend.with_vehicle()
    assert "Say --yes" in (await operator.types("vehicles", "installed", vin, "libc6/2.36-9", code=2)).errors
    await operator.types("vehicles", "installed", vin, "libc6/2.36-9", "ivi/1.0.0", "--yes")
    shown = json.loads((await operator.types("vehicles", "installed", vin, "--json")).output)
    assert shown == [{"name": "ivi", "version": "1.0.0"}, {"name": "libc6", "version": "2.36-9"}]
    assert json.loads((await operator.types("vehicles", "installed", vin, "--none", "--yes", "--json")).output) == []


async def test_a_file_comes_back_whole(operator: Operator, tmp_path: Path) -> None:
    file, name = tmp_path / "ivi.deb", new_name("ivi")
    file.write_bytes(b"content of a package" * 10_000)
    await operator.types("packages", "upload", str(file), "--name", name, "--version", "1.0.0", "--installer", "deb")
    back = tmp_path / "back.deb"
    await operator.types("packages", "download", f"{name}/1.0.0", "--out", str(back))
    assert back.read_bytes() == file.read_bytes()
    await operator.types("packages", "download", "no-such/1.0.0", "--out", str(tmp_path / "none"), code=1)
    assert names(tmp_path) == ["back.deb", "ivi.deb"]


async def test_accounts_tokens_and_who_made_them(operator: Operator, tmp_path: Path) -> None:
    name = new_name("account")
    made = await operator.types("users", "add", name, "--role", "viewer")
    assert "password, shown once: " in made.output
    await operator.types("users", "change", name, "--role", "operator", "--disable")
    listed = json.loads((await operator.types("users", "list", "--all", "--json")).output)
    assert [(user["role"], user["disabled"]) for user in listed if user["name"] == name] == [("operator", True)]
    assert "what is to change" in (await operator.types("users", "change", name, code=2)).errors
    assert (await operator.types("users", "delete", name, "--yes")).output.startswith(f"{name}: ")

    file = tmp_path / "report.token"
    new = ("tokens", "new", name, "--role", "viewer", "--service", "--out", str(file), "--json")
    token_id = json.loads((await operator.types(*new)).output)["id"]
    assert file.stat().st_mode & 0o777 == 0o600
    await operator.types("vehicles", "list", SOTA_TOKEN=file.read_text())
    assert token_id in (await operator.types("tokens", "list", "--all")).output
    await operator.types("tokens", "revoke", token_id)
    await operator.types("vehicles", "list", SOTA_TOKEN=file.read_text(), code=1)

    about = await operator.types("audit", "list", "--about", name, "--json")
    assert {record["interaction"] for record in json.loads(about.output)} >= {"X-B1-46", "X-B1-48", "X-B1-49"}
    for program in ("web", "core", "resolver"):
        assert "holds    yes\n" in (await operator.types("audit", "verify", "--program", program)).output


async def test_components_are_found_by_number_and_name(operator: Operator) -> None:
    parts = [new_name("TCU"), new_name("TCU")]
    for part in parts:
        await operator.types("components", "add", part, "--name", f"name of {part}")
    found = await operator.types("components", "list", "--id", parts[0], "--id", parts[1], "--json")
    assert {component["part_number"] for component in json.loads(found.output)} == set(parts)
    assert parts[1] in (await operator.types("components", "list", "--name", f"name of {parts[1]}")).output


async def test_explanation_leads_with_what_decided(operator: Operator) -> None:
    vin, other = await operator.backend.with_vehicle(), await operator.backend.with_vehicle()
    rule = new_name("rule")
    await operator.types("filters", "add", rule, f'vin_matches "^{other}$"')
    package = await operator.backend.with_package()
    await operator.types("filters", "attach", rule, package)
    name, _, version = package.partition("/")
    installed = [{"name": name, "version": version}]
    answer = await operator.backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", installed)
    assert answer.status == 200
    lines = (await operator.types("vehicles", "explain", vin, package)).output.splitlines()
    assert lines[0] == f"{vin}: out, {rule} is false for it"


async def test_words_of_a_choice_are_those_of_the_api(operator: Operator) -> None:
    help_text = (await operator.types("requests", "vehicles", "--help")).output
    assert "in_flight" in help_text
    assert "in-flight" not in help_text
    package = await operator.backend.with_targeted_package()
    created = await operator.types("requests", "create", package, "--within", "1d")
    found = REQUEST.search(created.output)
    assert found is not None
    listed = await operator.types("requests", "vehicles", found[1], "--status", "in_flight", "--json")
    assert json.loads(listed.output) == []


async def test_slip_is_explained_in_words_and_a_role_by_the_server_alone(operator: Operator) -> None:
    slip = await operator.types("vehicles", "add", "wvw", code=1)
    assert "vin must be a VIN: 17 capital letters and digits" in slip.errors
    viewer = await issue_token(operator.backend.web.db, Role.OPERATOR, new_name("token"))
    refused = await operator.types("users", "list", SOTA_TOKEN=viewer, code=1)
    assert "needs the role admin; yours is operator" in refused.errors
    assert "operator or admin" not in refused.errors


async def test_vehicle_that_is_connected_was_seen_now(operator: Operator) -> None:
    vin, absent = await operator.backend.with_vehicle(), await operator.backend.with_vehicle()
    core = operator.backend.core
    await core.db.transact(lambda tx: vehicle_store.mark_connected(tx, [vin], True, core.clock.now()))
    shown = (await operator.types("vehicles", "show", vin)).output
    assert re.search(r"^last seen +now$", shown, re.MULTILINE)
    assert re.search(r"^connected since +20\d\d-", shown, re.MULTILINE)
    assert re.search(r"^last seen +-$", (await operator.types("vehicles", "show", absent)).output, re.MULTILINE)
