"""``sota keys``: the manufacturer's keys that sign packages (docs/decisions/0006)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from cyclopts import App

from sota.boundaries.package_signature import SignedFields, load_private_key, make_key_pair, sign
from sota.kit.errors import StartError

app = App(name="keys", help="Create keys that sign packages, and sign a package.")


@app.command
def new(folder: Path, *, name: str = "packages") -> None:
    """Create an Ed25519 key pair: NAME.key.pem (keep it off-line) and NAME.pub.pem (goes into every vehicle).

    Parameters
    ----------
    folder
        Where the two files go; created if it is missing.
    name
        The name of the files.
    """
    if (folder / f"{name}.key.pem").exists():
        raise StartError(f"{folder / f'{name}.key.pem'} exists already: choose another --name")
    make_key_pair(folder, name)
    print(f"{folder / f'{name}.key.pem'}\n{folder / f'{name}.pub.pem'}")


@app.command(name="sign")
def sign_package(file: Path, *, key: Path, name: str, version: str, installer: str = "deb", target: str = "") -> None:
    """Print the signature (a DSSE envelope) for the metadata of an upload.

    Parameters
    ----------
    file
        The package's file.
    key
        The signing key, NAME.key.pem.
    name
        The package's name.
    version
        The package's version, major.minor.patch.
    installer
        Which installer takes the file in the vehicle.
    target
        The control unit that the file is for, if there are several.
    """
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    fields = SignedFields(name, version, file.stat().st_size, sha256, installer, target)
    print(msgspec.json.encode(sign(load_private_key(key), fields)).decode())
