"""The commands of ``sota ctl vehicles`` about identities: enrol, code, identities, revoke, revoked."""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.b2_web_core.identity_messages import NewCode, NewEnrolment, Revocation
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, read_span
from sota.cli.ctl.output import printable, show_done, show_list
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk
from sota.cli.identity_files import read_request, write_identity
from sota.kit.errors import StartError
from sota.kit.files.durable import write_atomic


def enrol(vin: str, *, out: Path, request: Path | None = None, replace: Switch = False, to: Target = HERE) -> None:
    """Issue a vehicle's certificate and credential; bring the folder to the vehicle in a secure way.

    Parameters
    ----------
    vin
        The vehicle, which must be registered.
    out
        Folder for root.pem, device.pem, credential.jwt and, without --request, device.key.
    request
        A certificate signing request made by the vehicle: its key never leaves it.
    replace
        Revoke the vehicle's current identities immediately: for a unit that was replaced.
    """
    enrolment = NewEnrolment(request=read_request(request) if request else None, replace=replace)
    done = talk(to, lambda web: web.enrol(vin, enrolment))
    write_identity(out, done)
    also = f"; {done.revoked} revoked" if done.revoked else ""
    summary = {"vin": vin, "identity_id": done.identity_id, "expires_at": done.expires_at, "revoked": done.revoked}
    show_done(f"{vin}: identity in {out}, until {printable(done.expires_at)}{also}", summary, json=to.json)


def code(vin: str, *, valid: str = "1d", to: Target = HERE) -> None:
    """Create a one-time code with which a vehicle enrols (sota identity enrol), with a key of its own.

    Parameters
    ----------
    vin
        The vehicle, which must be registered. Its current identities are revoked when the code is used.
    valid
        Its duration, for example 30m, 12h or 7d.
    """
    seconds = int(read_span(valid).total_seconds())
    if not 60 <= seconds <= 2_592_000:
        raise StartError("--valid: from 1m to 30d")
    made = talk(to, lambda web: web.new_enrolment_code(vin, NewCode(valid_s=seconds)))
    show_done(f"{made.code}  (for {vin}, once, until {printable(made.expires_at)})", made, json=to.json)


def identities(vin: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List a vehicle's identities, the latest first.

    Parameters
    ----------
    vin
        The vehicle.
    """
    found = talk(to, lambda web: collect(lambda query: web.identities_of(vin, query), ListQuery(), most.items))
    rows = [(i.identity_id, i.issued_by, i.issued_at, i.expires_at, i.revoked_at, i.revoked_because) for i in found]
    show_list(("Identity", "By", "Issued", "Until", "Revoked", "Because"), rows, found, json=to.json)


def revoke(vin: str, reason: str, *, identity: str | None = None, to: Target = HERE) -> None:
    """Revoke a vehicle's identities: its connection is closed, and it gets no other.

    Parameters
    ----------
    vin
        The vehicle.
    reason
        Why.
    identity
        Only this one, by its id.
    """
    done = talk(to, lambda web: web.revoke_identities(vin, Revocation(reason=reason, identity_id=identity)))
    others = "; no other identity of it counts until it is enrolled again" if done.barred else ""
    show_done(f"{vin}: {done.revoked} revoked{others}", done, json=to.json)
    if not (done.revoked or done.barred):
        raise StartError(f"Nothing of {vin} was revoked.", exit_code=1)


def revoked(*, out: Path | None = None, most: Most = MOST, to: Target = HERE) -> None:
    """List revoked identities, or write the list for a node on another machine than Core.

    Parameters
    ----------
    out
        A file for the node's setting revoked; it gets the whole list.
    """
    found = talk(to, lambda web: collect(web.revocations, ListQuery(), None if out else most.items))
    if out is not None:
        write_atomic(out, "".join(f"{one.entry}\n" for one in found).encode(), mode=0o644)
        show_done(f"{len(found)} entries in {out}", {"entries": len(found)}, json=to.json)
        return
    show_list(("Entry", "Revoked", "Until"), [(r.entry, r.revoked_at, r.until) for r in found], found, json=to.json)
