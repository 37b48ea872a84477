"""``sota authority``: what ``sota up`` does at its first start, for an installation whose programs run apart."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sota.kit.errors import StartError

app = App(name="authority", help="Make an authority for nodes, and the backend's own identity.")


@app.command
def new(folder: Path) -> None:
    """Make a generated authority: root.pem, which every node gets, and root.key, which stays here.

    Parameters
    ----------
    folder
        Where it is kept; made where it is missing.
    """
    from sota.rvi.authority import Authority

    if (folder / "root.key").exists():
        raise StartError(f"there is an authority in {folder} already")
    Authority.open(folder)
    print(f"{folder / 'root.pem'}\n{folder / 'root.key'}")


@app.command
def backend(*, authority: Path = Path("var/authority"), to: Path) -> None:
    """Issue the identity of the backend's node: certificate and credential.

    Parameters
    ----------
    authority
        Folder of the authority.
    to
        The node's identity folder (its setting identity).
    """
    from sota.rvi.authority import Authority

    if not (authority / "root.key").exists():
        raise StartError(f"no authority in {authority}: make one with sota authority new {authority}")
    Authority.open(authority).issue_backend(to)
    print(f"backend: identity in {to}")
