"""Builds the file of each kind of package except update images. ``signing`` is for formats with their own signature."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sota.cli.build.recipe import (
    ArchiveRecipe,
    CommandRecipe,
    DebRecipe,
    RaucRecipe,
    Recipe,
    SwupdateRecipe,
    within,
)
from sota.cli.build.tools import EPOCH, copy_tree, run
from sota.kit.errors import Invalid, StartError
from sota.slm.installers.archive_files import Limits, unpack

SUFFIX = {"deb": ".deb", "archive": ".tar.gz", "command": ".bin", "rauc": ".raucb", "swupdate": ".swu", "image": ".tar"}
LIMITS = Limits(64 << 30, 10_000_000)
"""The vehicle has its own limit; here only the other rules are checked."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Certificate and key (PEM) for RAUC and SWUpdate, which check a signature of their own."""

    certificate: Path
    key: Path


def kind_of(recipe: Recipe) -> str:
    """Return a recipe's kind, which is also the name of the installer that takes its file."""
    return str(type(recipe).__struct_config__.tag)


def make(recipe: Recipe, path: Path, target: Path, signing: Signing | None) -> None:
    """Build the file of a recipe that was read from ``path``.

    Raises:
        StartError: something that it names is missing, or a tool fails.
    """
    if isinstance(recipe, RaucRecipe | SwupdateRecipe) and signing is None:
        raise StartError(f"{kind_of(recipe)} checks its own signature: give --certificate and --certificate-key")
    makers: dict[type, Callable[..., None]] = {
        DebRecipe: _make_deb,
        ArchiveRecipe: _make_archive,
        CommandRecipe: lambda recipe, path, target, _signing: shutil.copyfile(within(path, recipe.file), target),
        RaucRecipe: _make_rauc,
        SwupdateRecipe: _make_swupdate,
    }
    if type(recipe) not in makers:
        raise StartError(f"{path}: an update image cannot hold another one")
    makers[type(recipe)](recipe, path, target, signing)


def _make_deb(recipe: DebRecipe, path: Path, target: Path, _signing: Signing | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        copy_tree(within(path, recipe.folder), tree)
        control = tree / "DEBIAN"
        if control.exists():
            raise StartError(f"{path}: {recipe.folder}/DEBIAN is made from the recipe: remove it")
        control.mkdir()
        fields = {
            "Package": recipe.name,
            "Version": recipe.version,
            "Architecture": recipe.architecture,
            "Maintainer": recipe.maintainer,
            "Depends": recipe.depends,
            "Description": " ".join(recipe.description.split()) or recipe.name,
        }
        text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
        (control / "control").write_text(text)
        for name, body in recipe.scripts.items():
            script = control / name
            script.write_text(f"#!/bin/sh\nset -e\n{body.rstrip()}\n")
            script.chmod(0o755)
        run("dpkg-deb", "--build", "--root-owner-group", "-Zxz", "tree", "made.deb", folder=Path(temporary))
        shutil.copyfile(Path(temporary) / "made.deb", target)


def _make_archive(recipe: ArchiveRecipe, path: Path, target: Path, _signing: Signing | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        copy_tree(within(path, recipe.folder), tree)
        with (
            target.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=EPOCH) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for entry in _below(tree):
                member = archive.gettarinfo(entry, arcname=str(entry.relative_to(tree)))
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mtime = EPOCH
                with entry.open("rb") if member.isreg() else Path(os.devnull).open("rb") as content:
                    archive.addfile(member, content if member.isreg() else None)
    try:
        unpack(target, None, LIMITS)  # fails here if the vehicle would refuse it
    except Invalid as error:
        raise StartError(f"{path}: no vehicle would take this archive: {error.detail}") from None


def _make_rauc(recipe: RaucRecipe, path: Path, target: Path, signing: Signing) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        manifest = f"[update]\ncompatible={recipe.compatible}\nversion={recipe.version}\n"
        if recipe.format != "plain":
            manifest += f"\n[bundle]\nformat={recipe.format}\n"
        for slot, relative in sorted(recipe.images.items()):
            image = within(path, relative)
            shutil.copyfile(image, content / image.name)
            manifest += f"\n[image.{slot}]\nfilename={image.name}\n"
        (content / "manifest.raucm").write_text(manifest)
        keys = ("--cert", signing.certificate.resolve(), "--key", signing.key.resolve())
        run("rauc", "bundle", *keys, "content", "made.raucb", folder=Path(temporary))
        shutil.copyfile(Path(temporary) / "made.raucb", target)


def _make_swupdate(recipe: SwupdateRecipe, path: Path, target: Path, signing: Signing) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        parts = Path(temporary)
        for image in recipe.images:
            source = within(path, image.file)
            if (parts / source.name).exists():
                raise StartError(f"{path}: two images are called {source.name}")
            shutil.copyfile(source, parts / source.name)
        (parts / "sw-description").write_text(_describe(recipe, parts))
        certificate = ("-signer", signing.certificate.resolve(), "-inkey", signing.key.resolve())
        form = ("-outform", "DER", "-nosmimecap", "-binary", "-noattr")
        names = ("-in", "sw-description", "-out", "sw-description.sig")
        run("openssl", "cms", "-sign", *names, *certificate, *form, folder=parts)
        listed = ["sw-description", "sw-description.sig", *(Path(image.file).name for image in recipe.images)]
        for name in listed:
            os.utime(parts / name, (EPOCH, EPOCH))
            (parts / name).chmod(0o644)
        names_in = "".join(f"{name}\n" for name in listed).encode()
        owner = ("--owner", "+0:+0", "--reproducible")
        target.write_bytes(run("cpio", "-o", "-H", "crc", "--quiet", *owner, folder=parts, stdin=names_in))


def _describe(recipe: SwupdateRecipe, parts: Path) -> str:
    """Write ``sw-description``, in libconfig's syntax. Nothing in it needs quoting: the recipe's types ensure that."""
    selections: dict[str, dict[str, list[str]]] = {}
    for image in recipe.images:
        name = Path(image.file).name
        with (parts / name).open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        for chosen, device in image.devices.items():
            software, mode = chosen.split(",")
            line = f'{{ filename = "{name}"; device = "{device}"; type = "{image.type}"; sha256 = "{sha256}"; }}'
            selections.setdefault(software, {}).setdefault(mode, []).append(line)
    hardware = ", ".join(f'"{one}"' for one in recipe.hardware)
    text = f'software =\n{{\n  version = "{recipe.version}";\n  hardware-compatibility: [ {hardware} ];\n'
    for software, modes in sorted(selections.items()):
        text += f"  {software} = {{\n"
        for mode, lines in sorted(modes.items()):
            text += f"    {mode}: {{ images: ( {', '.join(lines)} ); }};\n"
        text += "  };\n"
    return text + "}\n"


def _below(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry)
