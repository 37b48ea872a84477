"""The format of update images: what is written is read again, and nothing else is read; hostile input included."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sota.boundaries.package_signature import make_key_pair
from sota.boundaries.update_image.image import Image, read_image, sign_manifest, write_image
from sota.boundaries.update_image.manifest import ImageFile, Install, Manifest, OnFailure, Remove, Run, encode, parse
from sota.boundaries.values import PackageId
from sota.kit.errors import Invalid, Refused, SotaError
from sota.kit.files import flat_tar

NAVIGATION = PackageId(name="libnav", version="1.1.0")
IVI = PackageId(name="ivi", version="2.0.0")
CONTENTS = {"libnav.deb": b"navigation" * 100, "ivi.tar.gz": b"", "gateway.bin": bytes(range(256)) * 4}


def example(**changes: Any) -> dict[str, Any]:
    manifest = Manifest(
        format=1,
        package=PackageId(name="spring", version="1.0.0"),
        operations=[
            Install(id="library", package=NAVIGATION, installer="deb", file="libnav.deb", on_failure=OnFailure.ABORT),
            Install(id="ivi", package=IVI, installer="archive", file="ivi.tar.gz"),
            Run(id="gateway", action="flash", file="gateway.bin", arguments={"unit": "gw0"}),  # type: ignore[arg-type]
            Remove(id="old", package=PackageId(name="old", version="0.1.0"), installer="deb"),
        ],
        files=[ImageFile(name=name, size=len(c), sha256=flat_tar.sha256([c])) for name, c in CONTENTS.items()],
    )
    document: dict[str, Any] = msgspec.json.decode(encode(manifest))
    return {**document, **changes}


@pytest.fixture
def key(tmp_path: Path) -> Any:
    return make_key_pair(tmp_path / "keys")


def build(folder: Path, key: Any, manifest: dict[str, Any] | None = None) -> Path:
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    path = folder / "spring.sotaimg"
    with path.open("wb") as target:
        write_image(
            target,
            parse(msgspec.json.encode(manifest or example())),
            {name: folder / name for name in CONTENTS},
            lambda content: sign_manifest(key, content) if key else None,
        )
    return path


def trusted(path: Path, key: Any) -> Image:
    image = read_image(path)
    image.check_signature([key.public_key()])
    image.check_files()
    return image


def test_what_was_written_is_read_again(tmp_path: Path, key: Any) -> None:
    image = trusted(build(tmp_path, key), key)

    assert [operation.id for operation in image.manifest.operations] == ["library", "ivi", "gateway", "old"]
    for name, content in CONTENTS.items():
        image.take_out(name, tmp_path / "taken")
        assert (tmp_path / "taken").read_bytes() == content


def test_any_tar_program_reads_it(tmp_path: Path, key: Any) -> None:
    with tarfile.open(build(tmp_path, key)) as archive:
        assert archive.getnames() == ["manifest.json", "signature.json", *CONTENTS]
        content = archive.extractfile("gateway.bin")
        assert content is not None
        assert content.read() == CONTENTS["gateway.bin"]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, key: Any) -> None:
    first = build(tmp_path, key).read_bytes()
    assert build(tmp_path, key).read_bytes() == first


def test_unsigned_image_and_a_strangers_are_not_trusted(tmp_path: Path, key: Any) -> None:
    with pytest.raises(Refused, match="not signed"):
        read_image(build(tmp_path, None)).check_signature([key.public_key()])
    with pytest.raises(Refused, match="No trusted key"):
        read_image(build(tmp_path, make_key_pair(tmp_path / "stranger"))).check_signature([key.public_key()])


def test_signature_of_another_manifest_is_not_trusted(tmp_path: Path, key: Any) -> None:
    envelope = sign_manifest(key, b"another")
    path = tmp_path / "image"
    with path.open("wb") as target:
        for name, content in CONTENTS.items():
            (tmp_path / name).write_bytes(content)
        files = {name: tmp_path / name for name in CONTENTS}
        write_image(target, parse(msgspec.json.encode(example())), files, lambda _: envelope)
    with pytest.raises(Refused, match="another manifest"):
        read_image(path).check_signature([key.public_key()])


def test_damaged_file_is_not_taken_out(tmp_path: Path, key: Any) -> None:
    path = build(tmp_path, key)
    content = bytearray(path.read_bytes())
    content[content.index(b"navigation")] ^= 1
    path.write_bytes(content)
    image = read_image(path)

    with pytest.raises(Refused, match="damaged"):
        image.take_out("libnav.deb", tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
    with pytest.raises(Refused, match="damaged"):
        image.check_files()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 2}, "format"),
        ({"unknown": 1}, "unknown"),
        ({"operations": []}, "operations"),
        ({"operations": [{"operation": "format_disk", "id": "x"}]}, "format_disk"),
        ({"files": []}, "do not agree"),
        ({"package": {"name": "../etc", "version": "1.0.0"}}, "package"),
        ({"operations": [{"operation": "reboot", "id": "x"}] * 2}, "two of the operation"),
        ({"operations": [{"operation": "reboot", "id": "x", "on_failure": "explode"}]}, "on_failure"),
        (
            {"operations": [{"operation": "run", "id": "x", "action": "flash", "arguments": {"a": "-rf"}}]},
            "arguments",
        ),
        (
            {
                "operations": [
                    {"operation": "remove", "id": "x", "installer": "image", "package": example()["package"]}
                ],
                "files": [],
            },
            "another image",
        ),
    ],
)
def test_manifest_that_is_not_one_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        parse(msgspec.json.encode(example(**changes)))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * ((1 << 20) + 1)])
def test_bytes_that_are_no_manifest_are_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        parse(content)


def test_foreign_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("../../etc/passwd")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"root"))
    with pytest.raises(Invalid):
        read_image(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({"format", "package", "operations", "files", "description", "id", "on_failure", "name", "version"})


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4), st.integers(0, 3), st.binary(max_size=64))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_manifest_parser_takes_anything(changes: dict[str, Any], where: int, noise: bytes) -> None:
    document = example()
    target = [document, document["operations"][0], document["files"][0], document["package"]][where]
    target.update(changes)
    for content in (msgspec.json.encode(document), noise, msgspec.json.encode(document)[: len(noise) * 20]):
        try:
            manifest = parse(content)
        except Invalid:
            continue
        assert parse(encode(manifest)) == manifest


@given(
    st.lists(st.tuples(st.integers(0, 1 << 13), st.binary(min_size=1, max_size=8)), max_size=4), st.integers(0, 8192)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_damaged_image_is_refused_or_whole(
    whole: tuple[Path, bytes, Any], changes: list[tuple[int, bytes]], cut: int
) -> None:
    path, original, key = whole
    content = bytearray(original)
    for position, part in changes:
        at = position % len(content)
        content[at : at + len(part)] = part
    damaged = bytes(content[: len(content) - cut % len(content)] if cut % 3 == 0 else content)
    path.write_bytes(damaged)
    try:
        trusted(path, key)
    except SotaError:
        return
    assert damaged == original


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Any]:
    folder = tmp_path_factory.mktemp("image")
    key = make_key_pair(folder / "keys")
    path = build(folder, key)
    return path, path.read_bytes(), key
