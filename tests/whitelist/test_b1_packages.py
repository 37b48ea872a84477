"""B1-21 and the rows about packages, through the real Web Server, Core and Resolver."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.support.backend import Backend, Server, multipart
from tests.support.names import new_name


def files_of(server: Server) -> list[Path]:
    return [path for path in Path(server.web.settings.repository).rglob("*") if path.is_file()]


def break_repository(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder any more")


@pytest.mark.whitelist("WL-B1-21", "stored")
async def test_package_is_stored_in_the_repository_and_both_registers(backend: Backend) -> None:
    name, content = new_name("package"), b"\x00\xff" * 100_000
    metadata = {"name": name, "version": "1.2.3", "installer": "deb", "description": "Brakes", "vendor": "Us"}
    answer = await backend.upload(metadata, content)
    assert (answer.status, answer.body) == (200, {"message": "Package stored"})
    shown = await backend.ask("GET", f"/api/v1/packages/{name}/1.2.3")
    assert shown.body["sha256"] == hashlib.sha256(content).hexdigest()
    assert shown.body["sha1"] == hashlib.sha1(content).hexdigest()
    assert (shown.body["size"], shown.body["vendor"]) == (len(content), "Us")
    # The Resolver knows it too: a filter can be associated.
    filter_name = await backend.with_filter()
    associated = await backend.ask("POST", f"/api/v1/packages/{name}/1.2.3/filters", {"filter": filter_name})
    assert associated.status == 200


@pytest.mark.whitelist("WL-B1-21", "storing_failed")
async def test_package_is_refused_when_the_repository_fails(backend: Backend, tmp_path: Path) -> None:
    async with backend.another(f"sqlite:///{tmp_path}/web.db") as server:
        break_repository(Path(server.web.settings.repository))
        name = new_name("package")
        answer = await server.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"content")
        assert (answer.status, answer.message) == (500, "Upload New Package failed")
        shown = await backend.ask("GET", f"/api/v1/packages/{name}/1.0.0")
        assert shown.status == 404


async def test_package_is_refused_when_core_is_away(cut_off: Server) -> None:
    answer = await cut_off.upload({"name": "some", "version": "1.0.0", "installer": "deb"}, b"content")
    assert (answer.status, answer.message) == (503, "Service Unavailable")
    assert files_of(cut_off) == []


@pytest.mark.whitelist("WL-B1-21", "unauthenticated")
async def test_package_is_refused_when_core_refuses_our_credential(mistrusted: Server) -> None:
    answer = await mistrusted.upload({"name": "some", "version": "1.0.0", "installer": "deb"}, b"content")
    assert (answer.status, answer.message) == (404, "Authentication Failed")
    assert files_of(mistrusted) == []


async def test_upload_without_a_token_is_unauthorized(backend: Backend) -> None:
    kind, content = multipart(("metadata", b"{}"), ("file", b""))
    answer = await backend.ask("POST", "/api/v1/packages", content, headers={"content-type": kind, "authorization": ""})
    assert (answer.status, answer.message) == (401, "Unauthorized")


@pytest.mark.whitelist("WL-B1-21", "package_exists")
async def test_known_package_is_refused_before_its_file_is_stored(backend: Backend) -> None:
    package = await backend.with_package()
    name, version = package.split("/")
    before = files_of(backend)
    answer = await backend.upload({"name": name, "version": version, "installer": "deb"}, b"another content")
    assert (answer.status, answer.message) == (409, "Package already exists")
    assert files_of(backend) == before


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({"name": "../../etc/passwd"}, b"content"),
        ({"version": "1.0"}, b"content"),
        ({"version": "01.0.0"}, b"content"),
        ({"sha256": "0" * 64}, b"content"),
        ({"installer": None}, b"content"),
        ({"unknown": 1}, b"content"),
        ({}, b""),
    ],
    ids=["name is a path", "version", "leading zero", "another hash", "no installer", "unknown member", "empty file"],
)
async def test_what_does_not_fit_is_a_bad_request_and_leaves_nothing(
    backend: Backend, changes: dict[str, object], content: bytes
) -> None:
    before = files_of(backend)
    metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb", **changes}
    answer = await backend.upload(metadata, content)
    assert answer.status == 400, answer
    assert files_of(backend) == before


async def test_expected_hash_that_holds_is_accepted(backend: Backend) -> None:
    metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb"}
    answer = await backend.upload({**metadata, "sha256": hashlib.sha256(b"content").hexdigest()}, b"content")
    assert answer.status == 200


async def test_upload_that_ends_early_leaves_nothing(backend: Backend) -> None:
    before = files_of(backend)
    metadata = msgspec.json.encode({"name": new_name("package"), "version": "1.0.0", "installer": "deb"})
    kind, content = multipart(("metadata", metadata), ("file", b"content" * 1000))
    answer = await backend.ask("POST", "/api/v1/packages", content[:-200], headers={"content-type": kind})
    assert (answer.status, answer.message) == (400, "Bad Request")
    assert files_of(backend) == before


async def test_upload_that_is_no_multipart_is_unsupported(backend: Backend) -> None:
    answer = await backend.ask("POST", "/api/v1/packages", {"name": "some"})
    assert (answer.status, answer.message) == (415, "Unsupported Media Type")


@pytest.mark.whitelist("X-B1-5", "listed", "empty")
async def test_packages_can_be_searched(backend: Backend) -> None:
    package = await backend.with_package()
    found = await backend.ask("GET", "/api/v1/packages", query={"regex": f"^{package}$"})
    none = await backend.ask("GET", "/api/v1/packages", query={"regex": "^nothing$"})
    assert found.status == 200
    assert [f"{entry['name']}/{entry['version']}" for entry in found.body] == [package]
    assert (none.status, none.body) == (200, [])


@pytest.mark.whitelist("X-B1-5", "failed")
async def test_search_packages_with_a_broken_regex_fails(backend: Backend) -> None:
    answer = await backend.ask("GET", "/api/v1/packages", query={"regex": "("})
    assert (answer.status, answer.message) == (404, "Search Packages Request failed")


@pytest.mark.whitelist("X-B1-6", "found")
async def test_a_package_is_shown_without_where_its_file_lies(backend: Backend) -> None:
    package = await backend.with_package()
    answer = await backend.ask("GET", f"/api/v1/packages/{package}")
    assert answer.status == 200
    assert "uri" not in answer.body
