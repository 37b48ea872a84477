"""Builds an update image from its recipe: the files of its operations, built or copied, and the manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sota.boundaries.update_image.image import sign_manifest, write_image
from sota.boundaries.update_image.manifest import ImageFile, Manifest
from sota.boundaries.values import PackageId
from sota.cli.build.builders import SUFFIX, Signing, kind_of, make
from sota.cli.build.recipe import ImageRecipe, OperationRecipe, read_recipe, told_with_line, within
from sota.kit.errors import Invalid, StartError
from sota.kit.files import flat_tar

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_image(
    recipe: ImageRecipe, path: Path, target: Path, signing: Signing | None, key: Ed25519PrivateKey | None
) -> None:
    """Build the image; ``key`` signs its manifest, None leaves it unsigned.

    Raises:
        StartError: the recipe names something that is missing, or contradicts itself.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files: dict[str, Path] = {}
        operations = [_operation(each, path, Path(temporary), signing, files) for each in recipe.operations]
        listed = [
            ImageFile(name=name, size=file.stat().st_size, sha256=flat_tar.sha256(_parts(file)))
            for name, file in files.items()
        ]
        fields = {
            "format": 1,
            "package": {"name": recipe.name, "version": recipe.version},
            "operations": operations,
            "files": msgspec.to_builtins(listed),
            "description": recipe.description,
        }
        try:
            manifest = msgspec.convert(fields, Manifest)
        except msgspec.ValidationError as error:
            raise told_with_line(path, path.read_text("utf-8-sig"), error) from None
        try:
            with target.open("wb") as image:
                write_image(image, manifest, files, lambda content: sign_manifest(key, content) if key else None)
        except Invalid as error:
            raise StartError(f"{path}: {error.detail}") from None


def _operation(
    asked: OperationRecipe, path: Path, temporary: Path, signing: Signing | None, files: dict[str, Path]
) -> dict[str, object]:
    described: dict[str, object] = {
        name: value for name, value in msgspec.to_builtins(asked).items() if value not in (None, False, [], {})
    }
    described.pop("recipe", None)
    if asked.recipe is not None:
        if asked.file is not None or asked.package is not None or asked.installer is not None:
            raise StartError(f"{path}: operation {asked.id}: recipe says file, package and installer: drop those")
        inner_path = within(path, asked.recipe)
        inner = read_recipe(inner_path)
        package = PackageId(name=inner.name, version=inner.version)
        name = f"{package.name}_{package.version}{SUFFIX[kind_of(inner)]}"
        make(inner, inner_path, temporary / name, signing)
        files[name] = temporary / name
        described |= {"file": name, "package": msgspec.to_builtins(package), "installer": kind_of(inner)}
    elif asked.file is not None:
        file = within(path, asked.file)
        if files.get(file.name, file) != file:
            raise StartError(f"{path}: two files are called {file.name}")
        files[file.name] = file
        described["file"] = file.name
    return described


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            yield part
