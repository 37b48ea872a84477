"""Command line of the documents: ``python -m scripts.docs reference`` or ``site``."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.docs.reference import PAGES
from scripts.docs.site import build

ROOT = Path(__file__).parents[2]
USAGE = "usage: python -m scripts.docs reference|site"


def main(arguments: list[str]) -> int:
    """Write the reference pages, or the site."""
    match arguments:
        case ["reference"]:
            for name, page in PAGES.items():
                (ROOT / "docs" / "reference" / name).write_text(page())
                print(f"docs/reference/{name}")
        case ["site"]:
            folder = ROOT / "dist" / "docs"
            print(f"{len(build(ROOT, folder))} pages: {(folder / 'index.html').relative_to(ROOT)}")
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
