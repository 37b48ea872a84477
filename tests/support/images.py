"""Builds update images for tests: ``build(folder, key, "spring", "1.0.0", [install("ivi", "2.0.0", file)])``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.update_image.image import sign_manifest, write_image
from sota.boundaries.update_image.manifest import ImageFile, parse
from sota.kit.files import flat_tar


def install(name: str, version: str, file: Path, *, installer: str = "deb", **more: Any) -> tuple[dict[str, Any], Path]:
    """Describe an operation that installs a file."""
    package = {"name": name, "version": version}
    return {"operation": "install", "id": name, "package": package, "installer": installer, **more}, file


def build(
    folder: Path,
    key: Any,
    name: str,
    version: str,
    operations: Sequence[tuple[dict[str, Any], Path | None]],
) -> Path:
    """Build and sign ``<folder>/<name>_<version>.sotaimg``."""
    files: dict[str, Path] = {}
    documents = []
    for number, (operation, file) in enumerate(operations):
        if file is not None:
            files[f"{number}-{file.name}"] = file
        documents.append({**operation, **({"file": f"{number}-{file.name}"} if file else {})})
    manifest = parse(
        msgspec.json.encode(
            {
                "format": 1,
                "package": {"name": name, "version": version},
                "operations": documents,
                "files": [
                    ImageFile(name=each, size=file.stat().st_size, sha256=flat_tar.sha256([file.read_bytes()]))
                    for each, file in files.items()
                ],
            }
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{version}.sotaimg"
    with path.open("wb") as target:
        write_image(target, manifest, files, lambda content: sign_manifest(key, content) if key else None)
    return path
