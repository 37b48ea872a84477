"""``sota authority``: the authority of an installation with separate programs; ``sota up`` creates its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cyclopts import App

from sota.boundaries import authority as authorities
from sota.boundaries.authority import Authority
from sota.kit.errors import StartError

app = App(name="authority", help="Create an authority for nodes, and the backend's own identity.")


@app.command
def new(folder: Path) -> None:
    """Create an authority: root.pem, which every node gets, and root.key, which stays here.

    Parameters
    ----------
    folder
        Its folder; created if it is missing.
    """
    if (folder / "root.key").exists():
        raise StartError(f"there is an authority in {folder} already")
    Authority.open(folder)
    print(f"{folder / 'root.pem'}\n{folder / 'root.key'}")


@app.command
def backend(*, authority: Path = Path("var/authority"), to: Path, host: tuple[str, ...] = ()) -> None:
    """Issue the identity of the backend's node: certificate and credential.

    Example: sota authority backend --to /etc/sota/node --host ota.example.com --host 192.0.2.10

    Parameters
    ----------
    authority
        Folder of the authority.
    to
        The node's identity folder (its setting identity).
    host
        A name or address that vehicles connect to, besides this machine's own; repeatable. A real rvi_core compares
        it with the certificate; nodes of SOTA do not need it.
    """
    _require(authority)
    try:
        Authority.open(authority).issue_backend(to, hosts=host)
    except ValueError as error:
        raise StartError(str(error)) from None
    print(f"backend: identity in {to}")


@app.command
def prepare(folder: Path) -> None:
    """Create a successor. From now on both are trust anchors; vehicles learn this when they next report.

    Then bring root.pem to the backend's node: sota authority anchors FOLDER > IDENTITY/root.pem.

    Parameters
    ----------
    folder
        Folder of the authority.
    """
    _change(folder, authorities.prepare)
    print("The successor is a trust anchor. When all vehicles have heard of it: sota authority switch")


@app.command
def switch(folder: Path) -> None:
    """Let the successor sign from now on; vehicles renew their identities, and the backend's node gets one.

    Parameters
    ----------
    folder
        Folder of the authority. Its old key is destroyed; its old certificate stays a trust anchor.
    """
    _change(folder, authorities.switch)
    print("The successor signs. When sota ctl authority shows no identity of the old one: sota authority retire")


@app.command
def retire(folder: Path) -> None:
    """Retire the predecessor: identities that only it signed are no longer trusted.

    Parameters
    ----------
    folder
        Folder of the authority.
    """
    _change(folder, authorities.retire)
    print("The predecessor is no trust anchor any more.")


@app.command
def anchors(folder: Path) -> None:
    """Print the trust anchors: the content of a node's root.pem.

    Parameters
    ----------
    folder
        Folder of the authority.
    """
    _require(folder)
    print(Authority.open(folder).anchors_pem.decode(), end="")


def _change(folder: Path, step: Callable[[Path], None]) -> None:
    _require(folder)
    try:
        step(folder)
    except ValueError as error:
        raise StartError(str(error)) from None


def _require(folder: Path) -> None:
    if not (folder / "root.key").exists():
        raise StartError(f"no authority in {folder}: make one with sota authority new {folder}")
