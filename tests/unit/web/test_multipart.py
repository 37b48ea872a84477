"""The body of an upload, however it is cut into pieces."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.errors import Invalid, TooLarge, Unsupported
from sota.web.repository.multipart import MAX_METADATA, UploadBody
from tests.support.backend import multipart


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(kind: str, content: bytes, size: int = 1000, limit: int = 1 << 20) -> tuple[bytes, bytes]:
    body = UploadBody(kind, pieces(content, size), max_file_bytes=limit)
    metadata = await body.metadata()
    return metadata, b"".join([part async for part in body.file()])


@given(metadata=st.binary(max_size=200), file=st.binary(max_size=3000), size=st.integers(1, 500))
def test_parts_come_out_as_they_went_in(metadata: bytes, file: bytes, size: int) -> None:
    kind, content = multipart(("metadata", metadata), ("file", file))
    assert anyio.run(read, kind, content, size) == (metadata, file)


@given(cut=st.integers(1, 250), size=st.integers(1, 100))
def test_a_body_that_ends_early_is_refused(cut: int, size: int) -> None:
    kind, content = multipart(("metadata", b"{}"), ("file", b"x" * 100))
    with pytest.raises(Invalid):
        # The last line break after the closing boundary is no part of the body's meaning.
        anyio.run(read, kind, content[: -(cut + 2)], size)


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    # Anything but one of our own refusals would be a crash.
    with contextlib.suppress(Invalid, TooLarge):
        anyio.run(read, "multipart/form-data; boundary=b", b"--b\r\n" + content)


@pytest.mark.parametrize(
    "parts",
    [
        [("file", b"x"), ("metadata", b"{}")],
        [("metadata", b"{}")],
        [("metadata", b"{}"), ("other", b"x")],
        [("metadata", b"{}"), ("file", b"x"), ("file", b"y")],
        [],
    ],
    ids=["wrong order", "no file", "another part", "a third part", "nothing"],
)
async def test_other_parts_are_refused(parts: list[tuple[str, bytes]]) -> None:
    with pytest.raises(Invalid):
        await read(*multipart(*parts))


@given(
    padding=st.sampled_from([b" ", b"\t", b"  \t"]), before=st.sampled_from([b"", b"\r\n"]), size=st.integers(1, 200)
)
def test_spaces_after_a_boundary_are_passed_over(padding: bytes, before: bytes, size: int) -> None:
    kind, content = multipart(("metadata", b"{}"), ("file", b"--a-boundary-of-tests "))
    padded = content.replace(b"--a-boundary-of-tests\r\n", b"--a-boundary-of-tests" + padding + b"\r\n")
    assert anyio.run(read, kind, before + padded, size) == (b"{}", b"--a-boundary-of-tests ")


async def test_too_much_is_refused() -> None:
    with pytest.raises(TooLarge):
        await read(*multipart(("metadata", b"x" * (MAX_METADATA + 1)), ("file", b"x")))
    with pytest.raises(TooLarge):
        await read(*multipart(("metadata", b"{}"), ("file", b"x" * 101)), limit=100)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "", "multipart/mixed; boundary=b"])
async def test_another_content_type_is_unsupported(kind: str) -> None:
    with pytest.raises(Unsupported):
        await read(kind, b"")


async def test_a_boundary_that_is_too_long_is_refused() -> None:
    with pytest.raises(Invalid):
        await read(f"multipart/form-data; boundary={'b' * 5000}", b"")
