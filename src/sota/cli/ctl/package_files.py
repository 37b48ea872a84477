"""``sota ctl packages build``, ``sign`` and ``inspect``: package files and update images, before their upload."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from sota.cli.ctl.output import show_done, show_one
from sota.kit.errors import SotaError, StartError


def build(
    recipe: Path,
    *,
    out: Path | None = None,
    key: Path | None = None,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    json: bool = False,
) -> None:
    """Build a package's file, or an update image, from a recipe (docs/how-to/build-packages.md). Nothing is uploaded.

    The same input gives the same bytes (except that RAUC's own signature contains the time).

    Parameters
    ----------
    recipe
        The TOML file; the paths in it are relative to its folder.
    out
        The file to write; the default is NAME_VERSION with the kind's suffix, in this folder.
    key
        The signing key (sota keys new) for an update image's manifest; vehicles refuse unsigned images.
    certificate
        The certificate (PEM) for RAUC's or SWUpdate's own signature.
    certificate_key
        Its key (PEM).
    json
        Print JSON.
    """
    from sota.cli.build.builders import SUFFIX, Signing, kind_of, make
    from sota.cli.build.image import make_image
    from sota.cli.build.recipe import ImageRecipe, read_recipe

    if (certificate is None) != (certificate_key is None):
        raise StartError("--certificate and --certificate-key go together")
    signing = Signing(certificate, certificate_key) if certificate is not None and certificate_key is not None else None
    read = read_recipe(recipe)
    kind = kind_of(read)
    if key is not None and not isinstance(read, ImageRecipe):
        raise StartError(
            "--key signs an update image's manifest; a package is signed when it is uploaded (upload --key)"
        )
    target = out or Path(f"{read.name}_{read.version}{SUFFIX[kind]}")
    signer = _load_key(key) if key is not None else None

    def make_it(temporary: Path) -> None:
        if isinstance(read, ImageRecipe):
            make_image(read, recipe, temporary, signing, signer)
        else:
            make(read, recipe, temporary, signing)

    with printed_errors(target):
        write_whole(target, make_it)
    found = {"file": str(target), "kind": kind, "bytes": target.stat().st_size, "sha256": _sha256(target)}
    named = f"--name {read.name} --version {read.version} --installer {kind}"
    signed_by = str(key) if key is not None else "NAME.key.pem"
    lines = [
        f"{target}: {found['bytes']} bytes, SHA-256 {found['sha256']}",
        f"Upload it, signed: sota ctl packages upload {target} {named} --key {signed_by}",
    ]
    show_done(lines, found, json=json)


def sign(image: Path, *, key: Path, json: bool = False) -> None:
    """Sign the manifest of an update image, replacing its signature.

    Every package is also signed as a whole, when it is uploaded (upload --key) or separately (sota keys sign).

    Parameters
    ----------
    image
        The image's file.
    key
        The signing key, NAME.key.pem (sota keys new).
    json
        Print JSON.
    """
    from sota.boundaries.update_image.image import read_image, sign_manifest, write_image

    signer = _load_key(key)
    with printed_errors(image):
        _refuse_to_sign(image)
        with tempfile.TemporaryDirectory(dir=image.parent) as temporary:
            read = read_image(image)
            files = {}
            for number, file in enumerate(read.manifest.files):
                files[file.name] = Path(temporary) / str(number)
                read.take_out(file.name, files[file.name])

            def make_it(path: Path) -> None:
                with path.open("wb") as target:
                    write_image(target, read.manifest, files, lambda content: sign_manifest(signer, content))

            write_whole(image, make_it)
    sha256 = _sha256(image)
    show_done(f"{image}: signed, SHA-256 {sha256}", {"file": str(image), "sha256": sha256}, json=json)


def inspect(file: Path, *, trusted: Path | None = None, certificate: Path | None = None, json: bool = False) -> None:
    """Show a package file's kind and content, and whether it is intact. Exit code 1 if it is not.

    Parameters
    ----------
    file
        A file of any kind that build makes.
    trusted
        Folder with the public keys (NAME.pub.pem) that vehicles trust, to check an update image's signature.
    certificate
        The certificate (PEM) with which RAUC's or SWUpdate's own signature is checked.
    json
        Print JSON.
    """
    from sota.cli.build.inspection import kind_of_file, look

    with printed_errors(file):
        kind = kind_of_file(file)
        if kind != "image" and trusted is not None:
            raise StartError(f"{file}: --trusted is for update images; this is for {kind}")
        if kind == "image" and certificate is None:
            _show_image(file, trusted, json=json)
            return
        fields = look(file, kind, certificate)
    whole = [("kind", kind), ("bytes", file.stat().st_size), ("SHA-256", _sha256(file))]
    item = {
        **{name.lower(): value for name, value in whole + fields if name not in {"file", "SHA-256"}},
        "sha256": whole[-1][1],
        "files": [value for name, value in fields if name == "file"],
    }
    show_one(whole + fields, item, json=json)


def _show_image(image: Path, trusted: Path | None, *, json: bool) -> None:
    from sota.boundaries.package_signature import load_public_keys
    from sota.boundaries.update_image.image import read_image

    read = read_image(image)
    read.check_files()
    signed = "no" if read.signature is None else "yes, not checked: give --trusted"
    if trusted is not None:
        signed = f"by {read.check_signature(load_public_keys(trusted))}"
    manifest = read.manifest
    fields: list[tuple[str, object]] = [
        ("kind", "image"),
        ("package", manifest.package.text),
        ("description", manifest.description),
        ("signed", signed),
        ("SHA-256", _sha256(image)),
    ]
    for number, operation in enumerate(manifest.operations, 1):
        words = msgspec.to_builtins(operation)
        what = words.pop("operation")
        fields.append((f"operation {number}", f"{what} {words.pop('id')}: {msgspec.json.encode(words).decode()}"))
    fields += [(f"file {file.name}", f"{file.size} bytes, SHA-256 {file.sha256}, whole") for file in manifest.files]
    item = {"kind": "image", "manifest": manifest, "signed": signed, "sha256": _sha256(image)}
    show_one(fields, item, json=json)


def _refuse_to_sign(file: Path) -> None:
    """Describe the signature of a file that is not an update image.

    Raises:
        StartError: it is invalid.
    """
    from sota.cli.build.inspection import kind_of_file

    kind = kind_of_file(file)
    if kind in {"rauc", "swupdate"}:
        raise StartError(f"{file} is for {kind}, which signs when it is built: build --certificate --certificate-key")
    if kind != "image":
        raise StartError(
            f"{file} is no update image but for {kind}: it is signed when it is uploaded (upload --key), or apart by"
            " sota keys sign"
        )


@contextlib.contextmanager
def printed_errors(path: Path) -> Iterator[None]:
    """Add the file's name to errors."""
    try:
        yield
    except StartError:
        raise
    except SotaError as error:
        raise StartError(f"{path}: {error.detail}", exit_code=1) from None
    except OSError as error:
        raise StartError(f"{error.filename or path}: {error.strerror}") from None


def _load_key(path: Path) -> Any:  # Any: cryptography is imported only here
    from sota.boundaries.package_signature import load_private_key

    return load_private_key(path)


def write_whole(target: Path, make_it: Callable[[Path], None]) -> None:
    """Write a file beside its place, and move it into place when it is complete."""
    if not target.parent.is_dir():
        raise StartError(f"{target.parent} is no folder")
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        make_it(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
