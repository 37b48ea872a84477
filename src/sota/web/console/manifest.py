"""The files that the console approves: other files do not exist for any client (B1-1 to B1-3).

Each is read once; its address contains its hash, so that browsers may cache it indefinitely.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

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


def load() -> dict[str, Asset]:
    """Read the approved files."""
    folder = resources.files("sota.web.console") / "assets"
    assets: dict[str, Asset] = {}
    for name, content_type in TYPES.items():
        content = (folder / name).read_bytes()
        assets[name] = Asset(name, content, content_type, hashlib.sha256(content).hexdigest()[:12])
    return assets
