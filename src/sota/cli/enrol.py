"""``sota enrol``: issues a vehicle's identity by the authority that the backend trusts."""

from __future__ import annotations

from pathlib import Path

from sota.kit.errors import StartError


def enrol(vin: str, *, authority: Path = Path("var/authority"), to: Path) -> None:
    """Issue a vehicle's certificate and credential.

    Parameters
    ----------
    vin
        17 capital letters and digits.
    authority
        Folder of the authority; `sota up` creates one in its data folder.
    to
        Folder for root.pem, device.pem, device.key and credential.jwt; bring it to the vehicle in a secure way.
    """
    from sota.boundaries.authority import Authority

    if not (authority / "root.key").exists():
        raise StartError(f"no authority in {authority}: `sota up` makes one in its data folder")
    try:
        Authority.open(authority).issue_vehicle(vin, to)
    except ValueError as error:
        raise StartError(str(error)) from None
    print(f"{vin}: identity in {to}")
