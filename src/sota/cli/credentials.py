"""``sota credentials``: the bearer tokens between programs (docs/specification.md, ruling 10)."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sota.boundaries.binding.service_credentials import issue as issue_token
from sota.boundaries.interaction import Program
from sota.kit.files.durable import write_atomic

app = App(name="credentials", help="Issue credentials between programs.")


@app.command
def issue(*, file: Path, caller: Program, token_file: Path | None = None) -> None:
    """Create a token for a program and add its hash to the callee's credentials file.

    Parameters
    ----------
    file
        The callee's credentials file (setting credentials_file of core or resolver); created if it is missing.
    caller
        The program that will use the token.
    token_file
        Where to write the token, readable only by its owner; without it the token is printed, once.
    """
    token = issue_token(file, str(caller))
    if token_file is None:
        print(token)
        return
    token_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(token_file, token.encode(), mode=0o600)
    print(f"{caller}: token in {token_file}, its hash in {file}")
