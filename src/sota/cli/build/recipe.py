"""Recipes: the TOML description of a package, by its ``kind``. Paths are relative to the recipe's own folder."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.update_image.manifest import Action, Argument, ArgumentName, Blacklisted, OnFailure, OperationId
from sota.boundaries.values import Installer, PackageId, PackageName, Version
from sota.kit.errors import StartError

RECIPE_LIMIT = 1 << 20
Description = Annotated[str, Meta(max_length=4096)]
RelativePath = Annotated[str, Meta(min_length=1, max_length=1000)]
ScriptName = Annotated[str, Meta(pattern="^(preinst|postinst|prerm|postrm)$")]
ControlText = Annotated[str, Meta(pattern=r"^[^\n]*$", max_length=1000)]
SlotClass = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9._-]{0,31}$(?!\n)")]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$(?!\n)")]
SoftwareSet = Annotated[str, Meta(pattern=r"^[a-z0-9_]+,[a-z0-9_]+$(?!\n)")]
DevicePath = Annotated[str, Meta(pattern=r"^/[A-Za-z0-9._/-]{1,199}$(?!\n)")]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class _Recipe(_Part, frozen=True, kw_only=True, tag_field="kind"):
    """Fields of every recipe."""

    name: PackageName
    version: Version
    description: Description = ""


class DebRecipe(_Recipe, frozen=True, tag="deb"):
    """A Debian package of the files in ``folder``, and ``scripts`` that dpkg runs (without their first line)."""

    folder: RelativePath
    maintainer: ControlText
    architecture: ControlText = "all"
    depends: ControlText = ""
    scripts: Mapping[ScriptName, str] = {}


class ArchiveRecipe(_Recipe, frozen=True, tag="archive"):
    """A tar archive of the files in ``folder``, for the installer with two slots."""

    folder: RelativePath


class CommandRecipe(_Recipe, frozen=True, tag="command"):
    """An unchanged file, for a unit that the vehicle's own command flashes."""

    file: RelativePath


class RaucRecipe(_Recipe, frozen=True, tag="rauc"):
    """A bundle of RAUC: ``images`` by the class of their slot."""

    compatible: ControlText
    images: Annotated[Mapping[SlotClass, RelativePath], Meta(min_length=1)]
    format: Annotated[str, Meta(pattern="^(plain|verity)$")] = "verity"


class SwupdateImage(_Part, frozen=True):
    """A file of an image of SWUpdate, and the device it goes to for each software set (``stable,a``)."""

    file: RelativePath
    devices: Annotated[Mapping[SoftwareSet, DevicePath], Meta(min_length=1)]
    type: Word = "raw"


class SwupdateRecipe(_Recipe, frozen=True, tag="swupdate"):
    """An image of SWUpdate."""

    hardware: Annotated[list[Word], Meta(min_length=1)]
    images: Annotated[list[SwupdateImage], Meta(min_length=1)]


class OperationRecipe(_Part, frozen=True):
    """One operation of an update image; ``recipe`` builds the file of an ``install`` from another recipe."""

    operation: Annotated[str, Meta(pattern="^(install|remove|run|reboot)$")]
    id: OperationId
    on_failure: OnFailure = OnFailure.ROLLBACK
    recipe: RelativePath | None = None
    file: RelativePath | None = None
    package: PackageId | None = None
    installer: Installer | None = None
    allow_downgrade: bool = False
    blacklist: list[Blacklisted] = []
    action: Action | None = None
    arguments: Mapping[ArgumentName, Argument] = {}


class ImageRecipe(_Recipe, frozen=True, tag="image"):
    """An update image: operations in their order."""

    operations: Annotated[list[OperationRecipe], Meta(min_length=1, max_length=100)]


Recipe = DebRecipe | ArchiveRecipe | CommandRecipe | RaucRecipe | SwupdateRecipe | ImageRecipe


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        StartError: it cannot be read, or is invalid; with file and line.
    """
    try:
        if path.stat().st_size > RECIPE_LIMIT:
            raise StartError(f"{path} is longer than {RECIPE_LIMIT} bytes")
        text = path.read_text("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{path}: {error}") from None
    try:
        recipe: Recipe = msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise told_with_line(path, text, error) from None
    return recipe


def told_with_line(path: Path, text: str, error: msgspec.ValidationError) -> StartError:
    """Return what is wrong with a recipe, and where."""
    message, _, where = str(error).partition(" - at ")
    return StartError(f"{path}:{line_of(text, where.strip('`'))}: {message}")


def line_of(text: str, where: str) -> int:
    """Return the line of a place such as ``$.operations[1].id``; 1 if it cannot be determined.

    >>> line_of('name = "x"\\n[[operations]]\\n[[operations]]\\nid = "y"\\n', "$.operations[1].id")
    4
    """
    lines, at = text.splitlines(), 0
    for name, index in re.findall(r"\.([A-Za-z_]\w*)(?:\[(\d+|\.\.\.)\])?", where):
        tables = [number for number, line in enumerate(lines) if re.match(rf"\s*\[\[?{re.escape(name)}[\].]", line)]
        if index.isdigit() and int(index) < len(tables):
            at = tables[int(index)]
        elif tables:
            at = tables[0]
        else:
            keys = (number for number in range(at, len(lines)) if re.match(rf"\s*{re.escape(name)}\s*=", lines[number]))
            at = next(keys, at)
    return at + 1


def within(recipe: Path, relative: str) -> Path:
    """Return a path of a recipe.

    Raises:
        StartError: it does not exist.
    """
    path = recipe.parent / relative
    if not path.exists():
        raise StartError(f"{recipe}: {relative} does not exist (looked in {recipe.parent})")
    return path
