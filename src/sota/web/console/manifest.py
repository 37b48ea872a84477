"""The files that the console approves: other files do not exist for any client (B1-1 to B1-3).

Each is read once; its address contains its hash, so that browsers may cache it indefinitely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import jinja2

PAGES = frozenset({"index"})
TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """An approved file."""

    name: str
    content: bytes
    content_type: str
    hash: str

    @property
    def address(self) -> str:
        """Its address in pages."""
        return f"/assets/{self.name}?v={self.hash}"


def templates(package: str, assets: Mapping[str, Asset]) -> jinja2.Environment:
    """Return a package's templates: all text is escaped, and a missing name is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals["asset"] = lambda name: assets[name].address
    return found


def load() -> dict[str, Asset]:
    """Read the approved files."""
    folder = resources.files("sota.web.console") / "assets"
    assets: dict[str, Asset] = {}
    for name, content_type in TYPES.items():
        content = (folder / name).read_bytes()
        assets[name] = Asset(name, content, content_type, hashlib.sha256(content).hexdigest()[:12])
    return assets
