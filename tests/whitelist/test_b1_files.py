"""A package's file on its way out (X-B1-10), and packages that go (X-B1-11), through the three real programs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.interaction import Role
from sota.boundaries.values import PackageId
from tests.support.answer import Answer
from tests.support.backend import Backend
from tests.support.names import new_name, new_vin

CONTENT = bytes(range(256)) * 4096
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
INTERVAL = {"start": "2020-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"}


@pytest.fixture
async def package(backend: Backend) -> str:
    name = new_name("package")
    answer = await backend.upload({"name": name, "version": "1.0.0", "installer": "deb"}, CONTENT)
    assert answer.status == 200
    return f"{name}/1.0.0"


async def get(backend: Backend, package: str, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await backend.ask("GET", f"/api/v1/packages/{package}/file", role=Role.VIEWER, headers=given)


@pytest.mark.whitelist("X-B1-10", "sent")
async def test_file_comes_back_whole(backend: Backend, package: str) -> None:
    answer = await get(backend, package)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["etag"] == TAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{package.replace("/", "-")}"'


@pytest.mark.whitelist("X-B1-10", "partial")
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1048000-", 1048000, len(CONTENT)),
        ("bytes=-10", len(CONTENT) - 10, len(CONTENT)),
        ("bytes=0-99999999999", 0, len(CONTENT)),
        ("bytes=-99999999999", 0, len(CONTENT)),
    ],
)
async def test_range_of_a_file(backend: Backend, package: str, asked: str, start: int, end: int) -> None:
    answer = await get(backend, package, range=asked)
    assert (answer.status, answer.body) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes 0-1"])
async def test_what_is_no_single_range_is_answered_with_the_whole_file(
    backend: Backend, package: str, asked: str
) -> None:
    answer = await get(backend, package, range=asked)
    assert (answer.status, len(answer.body)) == (200, len(CONTENT))


@pytest.mark.whitelist("X-B1-10", "out_of_range")
@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=99999999999-", "bytes=-0"])
async def test_range_that_the_file_does_not_have(backend: Backend, package: str, asked: str) -> None:
    answer = await get(backend, package, range=asked)
    assert (answer.status, answer.message) == (416, "Range Not Satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.whitelist("X-B1-10", "unchanged")
@pytest.mark.parametrize("known", [TAG, f"W/{TAG}", f'"other", {TAG}', "*"])
async def test_file_that_the_caller_has_is_not_sent_again(backend: Backend, package: str, known: str) -> None:
    answer = await get(backend, package, if_none_match=known)
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", TAG)
    assert "content-length" not in answer.headers


async def test_file_that_is_another_one_is_sent(backend: Backend, package: str) -> None:
    assert (await get(backend, package, if_none_match='"other"')).status == 200


@pytest.mark.parametrize(
    ("condition", "status"), [(TAG, 206), ('"other"', 200), (f"W/{TAG}", 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)]
)
async def test_range_holds_for_the_named_file_alone(
    backend: Backend, package: str, condition: str, status: int
) -> None:
    answer = await get(backend, package, range="bytes=0-9", if_range=condition)
    assert (answer.status, len(answer.body)) == (status, 10 if status == 206 else len(CONTENT))


@pytest.mark.whitelist("X-B1-10", "not_found")
async def test_file_of_an_unknown_package(backend: Backend) -> None:
    answer = await get(backend, "nothing/1.0.0")
    assert (answer.status, answer.message) == (404, "Not Found")


async def test_file_that_the_repository_lost_is_unavailable(backend: Backend, package: str) -> None:
    file_of(backend, CONTENT).unlink()
    answer = await get(backend, package)
    assert (answer.status, answer.message) == (503, "Service Unavailable")


async def test_client_reads_a_file_part_by_part(backend: Backend, package: str) -> None:
    client: WebClient = await backend.api(Role.VIEWER)
    name, _, version = package.partition("/")
    async with client.package_file(PackageId(name=name, version=version), {"range": "bytes=256-511"}) as response:
        assert (response.status, await response.read()) == (206, bytes(range(256)))


def file_of(backend: Backend, content: bytes) -> Path:
    files = [path for path in Path(backend.web.settings.repository).rglob("*") if path.is_file()]
    same = [path for path in files if path.read_bytes() == content]
    return max(same, key=lambda path: path.stat().st_mtime_ns)


async def delete(backend: Backend, package: str, role: Role = Role.ADMIN) -> Answer:
    return await backend.ask("DELETE", f"/api/v1/packages/{package}", role=role)


async def upload(backend: Backend, content: bytes, **more: Any) -> str:
    name = new_name("package")
    answer = await backend.upload({"name": name, "version": "1.0.0", "installer": "deb", **more}, content)
    assert answer.status == 200
    return f"{name}/1.0.0"


async def with_filter(backend: Backend, package: str, expression: str) -> None:
    name = await backend.with_filter(expression)
    answer = await backend.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": name})
    assert answer.status == 200


def of(package: str) -> dict[str, str]:
    name, _, version = package.partition("/")
    return {"name": name, "version": version}


@pytest.mark.whitelist("X-B1-11", "deleted")
async def test_package_goes_from_both_registers_and_its_file_with_it(backend: Backend) -> None:
    content = new_name("content").encode()
    package = await upload(backend, content)
    await with_filter(backend, package, "TRUE")
    file = file_of(backend, content)
    answer = await delete(backend, package)
    assert (answer.status, answer.body) == (200, {"message": "Package deleted"})
    assert not file.exists()
    assert (await backend.ask("GET", f"/api/v1/packages/{package}")).status == 404
    # The Resolver has forgotten it too, with its filters; and its name can be used again.
    again = await backend.upload({**of(package), "installer": "deb"}, b"another content")
    request = {"package": of(package), "priority": 1, "interval": INTERVAL}
    queued = await backend.ask("POST", "/api/v1/install-requests", request)
    assert again.status == 200
    assert (queued.status, queued.message) == (404, "No filters associated with package")


@pytest.mark.whitelist("X-B1-11", "package_in_use")
async def test_package_that_an_open_update_needs_stays(backend: Backend) -> None:
    library = await upload(backend, b"a library")
    package = await upload(backend, b"needs the library", dependencies=[of(library)])
    vin = await backend.with_vehicle()
    await with_filter(backend, package, f'vin_matches "^{vin}$"')
    request = {"package": of(package), "priority": 1, "interval": INTERVAL}
    queued = await backend.ask("POST", "/api/v1/install-requests", request)
    assert queued.status == 200
    for one in (package, library):
        answer = await delete(backend, one)
        assert (answer.status, answer.message) == (409, "Package is in use")
        assert "is not over and needs" in answer.body["detail"]
        assert (await get(backend, one)).status == 200


async def test_package_that_a_vehicle_has_stays(backend: Backend) -> None:
    package = await upload(backend, b"is installed somewhere")
    vin = await backend.with_vehicle()
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [of(package)])
    refused = await delete(backend, package)
    assert (refused.status, refused.message) == (409, "Package is in use")
    assert vin in refused.body["detail"]
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [])
    assert (await delete(backend, package)).status == 200


@pytest.mark.whitelist("X-B1-11", "not_found")
async def test_package_that_is_not_there_cannot_be_deleted(backend: Backend) -> None:
    package = await upload(backend, b"goes once")
    assert (await delete(backend, package)).status == 200
    answer = await delete(backend, package)
    assert (answer.status, answer.message) == (404, "Not Found")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
async def test_only_an_admin_deletes(backend: Backend, role: Role) -> None:
    package = await upload(backend, b"stays")
    assert (await delete(backend, package, role)).status == 403
    assert (await get(backend, package)).status == 200


async def test_vehicle_of_another_package_is_no_reason(backend: Backend) -> None:
    package, other = await upload(backend, b"one"), await upload(backend, b"other")
    vin = new_vin()
    await backend.ask("POST", "/api/v1/vehicles", {"vin": vin})
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [of(other)])
    assert (await delete(backend, package)).status == 200


async def test_package_is_queued_or_deleted_and_never_both(backend: Backend) -> None:
    """Both are asked for at the same moment, again and again: an update that waits has its package."""
    outcomes = set()
    for _ in range(8):
        package = await upload(backend, b"wanted and unwanted")
        vin = await backend.with_vehicle()
        await with_filter(backend, package, f'vin_matches "^{vin}$"')
        request = {"package": of(package), "priority": 1, "interval": INTERVAL}
        queued, deleted = await asyncio.gather(
            backend.ask("POST", "/api/v1/install-requests", request), delete(backend, package)
        )
        assert queued.status in {200, 404}
        assert deleted.status in {200, 409}
        assert (queued.status == 200) == (deleted.status == 409), (queued, deleted)
        outcomes.add(queued.status)
    assert outcomes
