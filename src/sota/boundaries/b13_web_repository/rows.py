"""Row of B13, Web Server to the package repository: a folder on one machine, an object store on several."""

from __future__ import annotations

from sota.boundaries.interaction import Boundary, Files, Program, declared, results

B13 = Boundary("B13", Program.WEB_SERVER, Program.REPOSITORY)

WRITE_PACKAGE = B13.row(
    "WL-B13-1",
    "Binary package to the repository",
    Files("write"),
    results("success", None, "the file is whole and durable in the repository"),
    results("failure", None, "the file cannot be written; nothing of it is left behind"),
)

ROWS = declared(globals())
