"""X-B2-8 and -9: the place of a package's file, and deleted packages. Against the real Core and its database."""

from __future__ import annotations

import pytest

from tests.support.answer import Answer
from tests.support.core import RunningCore, new_package
from tests.support.names import new_name, new_vin

pytestmark = pytest.mark.anyio


async def with_package(core: RunningCore) -> str:
    name = new_name("ivi")
    answer = await core.web.send("POST", "/packages", new_package(name, "2.1.0", b"x", uri=f"ab/{name}"))
    assert answer.status == 200
    return name


async def delete(core: RunningCore, name: str, **query: str) -> Answer:
    return await core.web.send("DELETE", f"/packages/{name}/2.1.0", query=query)


def refused(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.body["title"], answer.body["code"]


@pytest.mark.whitelist("X-B2-8", "found", "not_found")
async def test_place_of_a_file_is_told_to_the_web_server(core: RunningCore) -> None:
    name = await with_package(core)
    found = await core.web.send("GET", f"/packages/{name}/2.1.0/file")
    assert found.status == 200
    assert found.body["uri"] == f"ab/{name}"
    assert found.body.keys() == {"uri", "size", "sha256"}
    assert refused(await core.web.send("GET", "/packages/nothing/2.1.0/file")) == (404, "Not Found", "not_found")


@pytest.mark.whitelist("X-B2-9", "deleted", "not_found")
async def test_package_is_deleted(core: RunningCore) -> None:
    name = await with_package(core)
    answer = await delete(core, name, file=f"ab/{name}")
    assert (answer.status, answer.body) == (200, {"message": "Package deleted"})
    assert (await core.web.send("GET", f"/packages/{name}/2.1.0")).status == 404
    assert refused(await delete(core, name)) == (404, "Not Found", "not_found")


async def test_package_with_another_file_is_another_one(core: RunningCore) -> None:
    name = await with_package(core)
    assert refused(await delete(core, name, file="ab/of-before")) == (404, "Not Found", "not_found")
    assert (await core.web.send("GET", f"/packages/{name}/2.1.0")).status == 200


@pytest.mark.whitelist("X-B2-9", "package_in_use")
async def test_package_that_a_vehicle_has_is_not_deleted(core: RunningCore) -> None:
    name, vin = await with_package(core), new_vin()
    await core.web.send("POST", "/vehicles", {"vin": vin})
    await core.web.send("PUT", f"/vehicles/{vin}/packages", [{"name": name, "version": "2.1.0"}])
    assert refused(await delete(core, name)) == (409, "Package is in use", "package_in_use")
    await core.web.send("PUT", f"/vehicles/{vin}/packages", [{"name": name, "version": "2.2.0"}])
    assert (await delete(core, name)).status == 200


async def test_repeated_under_its_key_gives_the_first_answer(core: RunningCore) -> None:
    name = await with_package(core)
    for _ in range(2):
        answer = await core.web.send("DELETE", f"/packages/{name}/2.1.0", headers={"idempotency-key": f"key-{name}"})
        assert answer.status == 200
