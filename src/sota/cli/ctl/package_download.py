"""``sota ctl packages download``: fetches a package's file, checked against the register."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b2_web_core.messages import Package
from sota.cli.ctl.arguments import read_package
from sota.cli.ctl.output import progress, show_done
from sota.cli.ctl.package_files import write_whole
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import talk
from sota.kit.errors import StartError


def download(package: str, *, out: Path, to: Target = HERE) -> None:
    """Download a package's file; the file appears only if it is the one that was uploaded.

    Parameters
    ----------
    package
        NAME/VERSION.
    out
        The file to write; an existing one is replaced.
    """
    wanted = read_package(package)

    async def work(web: WebClient, temporary: Path) -> Package:
        known = await web.package(wanted)
        sha256 = hashlib.sha256()
        with progress() as bars, temporary.open("wb") as target:
            bar = bars.add_task("downloading", total=known.size)
            async with web.package_file(wanted) as response:
                async for part in response.chunks():
                    target.write(part)
                    sha256.update(part)
                    bars.update(bar, advance=len(part))
        if sha256.hexdigest() != known.sha256:
            raise StartError(f"{package}: the received file is not the uploaded one: its SHA-256 differs", exit_code=1)
        return known

    found: list[Package] = []
    write_whole(out, lambda temporary: found.append(talk(to, lambda web: work(web, temporary))))
    told = {"file": str(out), "bytes": found[0].size, "sha256": found[0].sha256}
    show_done(f"{out}: {found[0].size} bytes, SHA-256 {found[0].sha256}", told, json=to.json)
