"""Both registers, or neither: neighbours that are away, kills in between, requests side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program, Role
from sota.kit.sql.database import Tx
from sota.resolver.program import ResolverProgram
from sota.resolver.settings import ResolverSettings
from sota.web.program import WebProgram
from sota.web.repository import store
from sota.web.tables import REGISTRATION
from tests.conftest import new_database
from tests.support.answer import Answer
from tests.support.backend import Backend, Server, running_backend
from tests.support.names import new_name, new_vin
from tests.support.processes import free_ports
from tests.support.waiting import until


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    databases = [new_database(request, tmp_path_factory, request.param) for _ in range(3)]
    async with running_backend(tmp_path_factory.mktemp("backend"), databases) as running:
        yield running


def late_resolver(folder: Path) -> tuple[ResolverProgram, dict[str, object]]:
    """Make a Resolver that does not run yet, and the settings with which a Web Server finds it."""
    token = issue(folder / "callers.toml", Program.WEB_SERVER)
    (folder / "token").write_text(token)
    port = free_ports(1)[0]
    settings = ResolverSettings(
        port=port, database=f"sqlite:///{folder}/resolver.db", credentials_file=folder / "callers.toml"
    )
    told = {"resolver_url": f"http://127.0.0.1:{port}", "resolver_token_file": folder / "token"}
    return ResolverProgram(settings), told


def files_of(server: Server) -> list[Path]:
    return [path for path in Path(server.web.settings.repository).rglob("*") if path.is_file()]


async def knows(resolver_side: Server, vin: str) -> bool:
    """Report whether the Resolver knows a vehicle: it refuses a second registration under another key."""
    async with resolver_side.web.db.read() as tx:
        row = (await tx.execute(REGISTRATION.select().where(REGISTRATION.c.object == f"vehicle {vin}"))).one()
    return bool(row.state == "done")


async def test_retirement_is_completed_when_the_resolver_is_back(backend: Backend, tmp_path: Path) -> None:
    resolver, told = late_resolver(tmp_path)
    vin = await backend.with_vehicle()
    async with backend.another(f"sqlite:///{tmp_path}/web.db", **told) as server:
        assert (await server.ask("DELETE", f"/api/v1/vehicles/{vin}")).status == 503
        assert "retired_at" in (await server.ask("GET", f"/api/v1/vehicles/{vin}")).body
        assert not await knows(server, vin)
        await resolver.start()
        try:
            # This Resolver never knew the vehicle: that it has nothing to forget is as good.
            await server.web.registers.resume(everything=True)
            assert await knows(server, vin)
        finally:
            await resolver.stop()


async def test_absent_resolver_gives_503_and_is_told_later(backend: Backend, tmp_path: Path) -> None:
    resolver, told = late_resolver(tmp_path)
    vin = new_vin()
    async with backend.another(f"sqlite:///{tmp_path}/web.db", **told) as server:
        answer = await server.ask("POST", "/api/v1/vehicles", {"vin": vin})
        assert answer.status == 503
        assert (await server.ask("GET", f"/api/v1/vehicles/{vin}")).status == 200  # Core has it already
        again = await server.ask("POST", "/api/v1/vehicles", {"vin": vin})
        assert again.status == 503  # joins, instead of 'VIN already exists'
        await resolver.start()
        try:

            async def look() -> bool:
                return await knows(server, vin)

            await until(look, "the Resolver is told", timeout_s=15)
            duplicate = await server.ask("POST", "/api/v1/vehicles", {"vin": vin})
            assert (duplicate.status, duplicate.message) == (409, "VIN already exists")
        finally:
            await resolver.stop()


async def test_registration_goes_on_after_a_restart(backend: Backend, tmp_path: Path) -> None:
    resolver, told = late_resolver(tmp_path)
    name = new_name("package")
    database = f"sqlite:///{tmp_path}/web.db"
    async with backend.another(database, **told) as server:
        answer = await server.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"content")
        assert answer.status == 503
    await resolver.start()
    try:
        async with backend.another(database, **told) as server:

            async def look() -> bool:
                answer = await server.ask("POST", f"/api/v1/packages/{name}/1.0.0/filters", {"filter": "none"})
                return bool(answer.body["code"] == "filter_label_missing")  # the package is known, the filter is not

            await until(look, "the Resolver is told of the package", timeout_s=15)
    finally:
        await resolver.stop()


async def test_absent_core_gives_503_and_nothing_is_lost(backend: Backend, tmp_path: Path) -> None:
    vin, database = new_vin(), f"sqlite:///{tmp_path}/web.db"
    async with backend.another(database, core_url="http://127.0.0.1:9") as server:
        assert (await server.ask("POST", "/api/v1/vehicles", {"vin": vin})).status == 503
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 404
    async with backend.another(database) as server:

        async def look() -> bool:
            return await knows(server, vin)

        await until(look, "both registers have it", timeout_s=15)
    assert (await backend.ask("GET", f"/api/v1/vehicles/{vin}")).status == 200


async def test_the_same_vehicle_twenty_times_at_once_is_one_registration(backend: Backend) -> None:
    vin = new_vin()
    answers: list[Answer] = await asyncio.gather(
        *(backend.ask("POST", "/api/v1/vehicles", {"vin": vin}) for _ in range(20))
    )
    assert {answer.status for answer in answers} <= {200, 409}
    assert any(answer.status == 200 for answer in answers)
    assert [found["vin"] for found in (await backend.ask("GET", "/api/v1/vehicles", query={"regex": vin})).body] == [
        vin
    ]


async def test_the_same_package_uploaded_side_by_side_keeps_one_file(backend: Backend, tmp_path: Path) -> None:
    async with backend.another(f"sqlite:///{tmp_path}/web.db") as server:
        metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb"}
        answers = await asyncio.gather(*(server.upload(metadata, b"content" * 10_000) for _ in range(6)))
        assert {answer.status for answer in answers} <= {200, 409}
        assert any(answer.status == 200 for answer in answers)
        files = files_of(server)
        assert len(files) == 1


async def test_refused_package_leaves_no_file(backend: Backend, tmp_path: Path) -> None:
    async with backend.another(f"sqlite:///{tmp_path}/web.db") as server:
        metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb"}
        # Registered by another Web Server between the look and the registration: the file is stored, then refused.
        uploads = server.web.uploads

        async def known_by_now(_metadata: object) -> None:
            await backend.upload(metadata, b"content")

        uploads._refuse_known = known_by_now  # type: ignore[method-assign,assignment]
        answer = await server.upload(metadata, b"content")
        assert (answer.status, answer.message) == (409, "Package already exists")
        await uploads.sweep()
        files = files_of(server)
        assert files == []


async def test_package_whose_dependencies_are_refused_is_in_neither_register(backend: Backend) -> None:
    first, second = new_name("package"), new_name("package")
    needs_second = {"installer": "deb", "dependencies": [{"name": second, "version": "1.0.0"}]}
    needs_first = {"installer": "deb", "dependencies": [{"name": first, "version": "1.0.0"}]}
    before = files_of(backend)
    accepted = await backend.upload({"name": first, "version": "1.0.0", **needs_second}, b"content")
    cycle = await backend.upload({"name": second, "version": "1.0.0", **needs_first}, b"content")
    assert (accepted.status, cycle.status) == (200, 400)
    assert "cycle" in cycle.body["detail"]
    assert (await backend.ask("GET", f"/api/v1/packages/{second}/1.0.0")).status == 404
    await backend.web.uploads.sweep()
    assert len(files_of(backend)) == len(before) + 1
    # Nothing is under way: the same package without the cycle is taken.
    mended = await backend.upload({"name": second, "version": "1.0.0", "installer": "deb"}, b"content")
    assert mended.status == 200


async def test_file_of_an_interrupted_upload_is_swept(backend: Backend, tmp_path: Path) -> None:
    """What a kill between the stored file and the written registration leaves behind."""
    async with backend.another(f"sqlite:///{tmp_path}/web.db") as server:
        web: WebProgram = server.web
        repository, now = Path(web.settings.repository), web.clock.now()
        (repository / "ab").mkdir()
        (repository / "ab" / "abcd").write_bytes(b"whole")
        (repository / "ab" / "abcd#1").write_bytes(b"half")

        async def note(tx: Tx) -> None:
            await store.note_upload(tx, "ab/abcd", now, now)

        await web.db.transact(note)
        await web.uploads.sweep()
        assert files_of(server) == []


async def test_removal_that_the_resolver_missed_is_completed_and_the_file_goes_last(
    backend: Backend, tmp_path: Path
) -> None:
    """Core has deleted the package, the Resolver is down, and the Web Server restarts."""
    resolver, told = late_resolver(tmp_path)
    name, database = new_name("package"), f"sqlite:///{tmp_path}/web.db"
    path = f"/api/v1/packages/{name}/1.0.0"
    await resolver.start()
    async with backend.another(database, **told) as server:
        repository = server.web.settings.repository
        assert (await server.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"content")).status == 200
        await resolver.stop()
        assert (await server.ask("DELETE", path, role=Role.ADMIN)).status == 503
        assert (await backend.ask("GET", path)).status == 404  # it is gone from Core
        assert len(files_of(server)) == 1  # and the file is not, until the Resolver has heard of it
        # Meanwhile the name is not free: half a removal is no place for a new package.
        early = await server.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"too early")
        assert (early.status, early.message) == (409, "Package already exists")
        assert len(files_of(server)) == 1
    resolver = ResolverProgram(resolver.settings)
    await resolver.start()
    try:
        async with backend.another(database, **told, repository=repository) as server:

            async def is_gone() -> bool:
                await server.web.uploads.sweep()
                return files_of(server) == []

            await until(is_gone, "the removal is completed", timeout_s=15)
            again = await server.upload({"name": name, "version": "1.0.0", "installer": "deb"}, b"new content")
            assert again.status == 200
    finally:
        await resolver.stop()


async def test_refused_removal_keeps_the_file(backend: Backend, tmp_path: Path) -> None:
    package = await backend.with_package()
    vin = await backend.with_vehicle()
    name, _, version = package.partition("/")
    await backend.ask("PUT", f"/api/v1/vehicles/{vin}/packages", [{"name": name, "version": version}])
    before = files_of(backend)
    refused = await backend.ask("DELETE", f"/api/v1/packages/{package}", role=Role.ADMIN)
    assert refused.status == 409
    await backend.web.uploads.sweep()
    assert files_of(backend) == before
