"""Uploads that want to be somewhere else: in another folder, under another name, in another part of the body."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.answer import Answer
from tests.support.backend import Backend, multipart
from tests.support.names import new_name

PLACES = [
    "../../../../etc/cron.d/evil",
    "..",
    ".",
    "/etc/passwd",
    "C:\\Windows\\evil",
    "..\\..\\evil",
    "a/../b",
    "a%2f..%2fb",
    "%2e%2e%2fevil",
    "evil\x00.deb",
    "evil\r\nX: y",
    "\u2025/evil",
    "\uff0e\uff0e\uff0fevil",
    "s3://bucket/evil",
    "file:///etc/passwd",
    "~root",
    "$(id)",
    "-rf",
    "CON",
]
OPAQUE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}")


def files(backend: Backend) -> set[str]:
    folder = Path(backend.web.settings.repository)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def everything(backend: Backend) -> set[str]:
    """List all files of the backend but its databases, and all files beside its folder."""
    folder = backend.folder
    found = {path.as_posix() for path in folder.rglob("*") if path.is_file() and "db" not in path.name}
    return found | {path.as_posix() for path in folder.parent.iterdir()}


async def upload_as(backend: Backend, disposition: str, metadata: dict[str, Any], content: bytes = b"x") -> Answer:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
        + msgspec.json.encode(metadata)
        + f"\r\n--x\r\n{disposition}\r\n\r\n".encode("utf-8", "surrogateescape")
        + content
        + b"\r\n--x--\r\n"
    )
    return await backend.ask(
        "POST", "/api/v1/packages", body, headers={"content-type": "multipart/form-data; boundary=x"}
    )


@pytest.mark.parametrize("member", ["name", "version", "installer", "sha256"])
@pytest.mark.parametrize("place", PLACES)
async def test_metadata_name_no_place(backend: Backend, member: str, place: str) -> None:
    before = everything(backend)
    metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb", member: place}
    answer = await backend.upload(metadata, b"content")
    if member == "name" and place in {"..", ".", "-rf", "CON"}:  # names like any other: they are part of no path
        assert answer.status in {200, 409}
        assert all(OPAQUE.fullmatch(key) for key in files(backend))
        return
    assert answer.status == 400
    assert everything(backend) == before


@pytest.mark.parametrize("member", ["description", "vendor", "target"])
@pytest.mark.parametrize("place", PLACES)
async def test_texts_of_a_package_are_texts(backend: Backend, member: str, place: str) -> None:
    name, before = new_name("package"), files(backend)
    answer = await backend.upload({"name": name, "version": "1.0.0", "installer": "deb", member: place}, b"content")
    assert answer.status == 200
    assert (await backend.ask("GET", f"/api/v1/packages/{name}/1.0.0")).body[member] == place
    (new,) = files(backend) - before
    assert OPAQUE.fullmatch(new)


@pytest.mark.parametrize("place", [place for place in PLACES if place.isprintable()])
async def test_files_own_name_is_not_looked_at(backend: Backend, place: str) -> None:
    name, before = new_name("package"), files(backend)
    for disposition in (
        f'form-data; name="file"; filename="{place}"',
        f"form-data; name=\"file\"; filename*=UTF-8''{place}",
    ):
        metadata = {"name": name, "version": f"1.0.{len(disposition)}", "installer": "deb"}
        answer = await upload_as(backend, f"Content-Disposition: {disposition}", metadata)
        assert answer.status in {200, 400}  # 400: no such header
    assert all(OPAQUE.fullmatch(key) for key in files(backend) - before)


@pytest.mark.parametrize("key", ["uri", "file", "key", "path", "size", "sha1"])
async def test_no_caller_chooses_where_a_file_lies(backend: Backend, key: str) -> None:
    before = files(backend)
    metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb", key: "../../etc/passwd"}
    assert (await backend.upload(metadata, b"content")).status == 400
    assert files(backend) == before


@pytest.mark.parametrize(
    "path", ["../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e", "....//....//etc"]
)
@pytest.mark.parametrize(
    "template",
    ["/api/v1/packages/{0}/1.0.0/file", "/api/v1/packages/ivi/{0}/file", "/assets/{0}", "/{0}", "/assets/{0}.js"],
)
async def test_no_file_of_the_machine_is_sent(backend: Backend, template: str, path: str) -> None:
    answer = await backend.ask("GET", template.format(path))
    assert answer.status in {400, 404, 409}
    assert "root:" not in str(answer.body)


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("file", b"x"), ("metadata", b"{}")], 400),
        ([("metadata", b"{}"), ("metadata", b"{}"), ("file", b"x")], 400),
        ([("metadata", b"{"), ("file", b"x")], 400),
        ([("metadata", b"\xff\xfe"), ("file", b"x")], 400),
        ([("metadata", b"[" * 200_000), ("file", b"x")], 400),
        ([("metadata", b" " * 300_000 + b"{}"), ("file", b"x")], 413),
        ([("file", b"x")], 400),
        ([("x" * 10_000, b"{}"), ("file", b"x")], 400),
    ],
    ids=["wrong order", "twice", "no JSON", "no UTF-8", "nested", "too long", "no metadata", "long name"],
)
async def test_body_in_another_order_stores_nothing(
    backend: Backend, parts: list[tuple[str, bytes]], status: int
) -> None:
    before = files(backend)
    kind, content = multipart(*parts)
    answer = await backend.ask("POST", "/api/v1/packages", content, headers={"content-type": kind})
    assert answer.status == status
    assert files(backend) == before


async def test_third_part_makes_the_upload_none(backend: Backend) -> None:
    before = files(backend)
    metadata = msgspec.json.encode({"name": new_name("package"), "version": "1.0.0", "installer": "deb"})
    kind, content = multipart(("metadata", metadata), ("file", b"x"), ("file", b"y"))
    answer = await backend.ask("POST", "/api/v1/packages", content, headers={"content-type": kind})
    assert answer.status == 400
    await backend.web.uploads.sweep()
    assert files(backend) == before


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 5000,
        'multipart/form-data; boundary="\r\nX: y"'.replace("\r\n", "\t"),
        "application/json",
    ],
)
async def test_body_in_another_form_stores_nothing(backend: Backend, kind: str) -> None:
    before = files(backend)
    _, content = multipart(("metadata", b"{}"), ("file", b"x"), boundary="x")
    answer = await backend.ask("POST", "/api/v1/packages", content, headers={"content-type": kind})
    assert answer.status in {400, 415}
    assert files(backend) == before


async def test_headers_of_a_part_have_an_end(backend: Backend) -> None:
    before = files(backend)
    head = b'--x\r\nContent-Disposition: form-data; name="metadata"\r\nX: '
    answer = await backend.ask(
        "POST", "/api/v1/packages", head + b"y" * (8 << 20), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status in {400, 413}
    assert files(backend) == before


async def test_boundary_in_the_file_ends_it_and_what_follows_is_refused(backend: Backend) -> None:
    before = files(backend)
    metadata = {"name": new_name("package"), "version": "1.0.0", "installer": "deb"}
    answer = await upload_as(
        backend,
        'Content-Disposition: form-data; name="file"',
        metadata,
        b'x\r\n--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"name":"other"}',
    )
    assert answer.status == 400
    await backend.web.uploads.sweep()
    assert files(backend) == before
