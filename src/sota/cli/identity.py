"""``sota identity``: on the vehicle, get an identity for a key of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cyclopts import App

from sota.client.identity_key import PENDING_KEY, PENDING_REQUEST, make_pending
from sota.kit.errors import StartError

app = App(name="identity", help="On the vehicle: get an identity for a key of its own.")


@app.command
def request(vin: str, *, to: Path) -> None:
    """Create a key and print the certificate signing request for it; sota ctl vehicles enrol --request takes that.

    Parameters
    ----------
    vin
        The vehicle's VIN.
    to
        The identity folder (DATA/identity of sota vehicle). The key stays there until install uses it.
    """
    make_pending(to, vin)
    print((to / PENDING_REQUEST).read_text("ascii"), end="")


@app.command
def install(folder: Path, *, to: Path) -> None:
    """Install the files that were issued for this vehicle's key.

    Parameters
    ----------
    folder
        The folder that sota ctl vehicles enrol --request wrote: root.pem, device.pem, credential.jwt.
    to
        The identity folder, where the key is.
    """
    from sota.kit.files.durable import replace_together

    try:
        files = {name: (folder / name).read_bytes() for name in ("root.pem", "device.pem", "credential.jwt")}
        files["device.key"] = (to / PENDING_KEY).read_bytes()
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from None
    replace_together(to, files)
    _forget_pending(to)
    print(f"identity in {to}")


@app.command
def enrol(vin: str, *, server: str, code: str, to: Path, ca: Path | None = None) -> None:
    """Enrol this vehicle with a one-time code (sota ctl vehicles code); may be repeated until it succeeds.

    Parameters
    ----------
    vin
        The vehicle's VIN.
    server
        Address of the Web Server, https://HOST[:PORT].
    code
        The code.
    to
        The identity folder (DATA/identity of sota vehicle).
    ca
        Certificate of the server, or of its authority if that is not a public one.
    """
    from sota.boundaries.b1_browser_web.client import WebClient
    from sota.boundaries.b2_web_core.identity_messages import CodeEnrolment, Enrolled
    from sota.cli.identity_files import write_identity
    from sota.kit.http.client import HttpClient
    from sota.kit.security.tls import trusting

    if not server.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise StartError("--server: https:// only, except to this machine itself")
    make_pending(to, vin)
    wanted = CodeEnrolment(vin=vin, code=code, request=(to / PENDING_REQUEST).read_text("ascii"))

    async def ask() -> Enrolled:
        client = HttpClient(server, ssl=trusting(ca) if ca else None)
        try:
            return await WebClient(client).enrol_by_code(wanted)
        finally:
            await client.close()

    try:
        done = asyncio.run(ask())
    except ValueError as error:
        raise StartError(str(error)) from None
    write_identity(to, done, (to / PENDING_KEY).read_bytes())
    _forget_pending(to)
    print(f"{vin}: identity in {to}, until {done.expires_at:%Y-%m-%d}")


def _forget_pending(folder: Path) -> None:
    for name in (PENDING_KEY, PENDING_REQUEST):
        (folder / name).unlink(missing_ok=True)
