"""Writes an identity into a folder, and reads a request from a file."""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.b2_web_core.identity_messages import Enrolled
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder, replace_together


def write_identity(folder: Path, identity: Enrolled, key: bytes | None = None) -> None:
    """Write root.pem, device.pem, credential.jwt and, if given, device.key: all of them or none."""
    private_folder(folder)
    files = {
        "root.pem": identity.anchors.encode(),
        "device.pem": identity.certificate.encode(),
        "credential.jwt": identity.credential.encode(),
    }
    if identity.key or key:
        files["device.key"] = identity.key.encode() if identity.key else (key or b"")
    replace_together(folder, files)


def read_request(file: Path) -> str:
    """Read a certificate signing request.

    Raises:
        StartError: the file does not exist.
    """
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{file}: {error}") from None
