"""``sota ctl vehicles``: vehicles, their software and their queues."""

from __future__ import annotations

import asyncio
from datetime import datetime

from cyclopts import App

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b2_web_core.messages import Update, Vehicle
from sota.boundaries.b2_web_core.queries import VehicleQuery
from sota.boundaries.parameters import ListQuery
from sota.cli.ctl.arguments import MOST, Most, Switch, VinFile, confirm, read_attribute, read_installed, read_vins
from sota.cli.ctl.identities import code, enrol, identities, revoke, revoked
from sota.cli.ctl.output import printable, show_done, show_list, show_one
from sota.cli.ctl.plans import explain
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk
from sota.kit.errors import Refused, StartError

AT_ONCE = 8
app = App(name="vehicles", help="Register, look up, enrol and retire vehicles.")
for _command in (enrol, code, identities, revoke, revoked, explain):
    app.command(_command)


@app.command(name="list")
def list_vehicles(regex: str | None = None, *, most: Most = MOST, to: Target = HERE) -> None:
    """List vehicles by VIN.

    Parameters
    ----------
    regex
        Only VINs that match this regular expression (RE2): '^WVW'.
    """

    found = talk(to, lambda web: collect(web.search_vehicles, VehicleQuery(regex), most.items))
    rows = [(v.vin, v.connected, _seen(v), v.registered_at, v.retired_at) for v in found]
    show_list(("VIN", "Connected", "Last seen", "Registered", "Retired"), rows, found, json=to.json)


@app.command
def add(*vins: str, to: Target = HERE) -> None:
    """Register vehicles.

    Parameters
    ----------
    vins
        VINs: 17 capital letters and digits each.
    """
    if not vins:
        raise StartError("which vehicles? sota ctl vehicles add VIN …")

    async def work(web: WebClient) -> list[str]:
        return [(await web.new_vehicle(vin)).message for vin in vins]

    for vin, message in zip(vins, talk(to, work), strict=True):
        show_done(f"{vin}: {message}", {"vin": vin, "message": message}, json=to.json)


@app.command(name="import")
def import_vehicles(file: VinFile, *, to: Target = HERE) -> None:
    """Register the vehicles of a file; registered ones are skipped, so that it can be repeated.

    Parameters
    ----------
    file
        A VIN a line, or NDJSON with {"vin": …}; - is standard input.
    """
    vins = list(read_vins(file))

    async def work(web: WebClient) -> dict[str, int]:
        counts = {"registered": 0, "already_registered": 0}

        async def one(vin: str) -> None:
            try:
                await web.new_vehicle(vin)
                counts["registered"] += 1
            except Refused as error:
                if error.code != "vin_exists":
                    raise
                counts["already_registered"] += 1

        for begin in range(0, len(vins), AT_ONCE):
            await asyncio.gather(*map(one, vins[begin : begin + AT_ONCE]))
        return counts

    counts = talk(to, work)
    text = f"{counts['registered']} registered, {counts['already_registered']} were registered already"
    show_done(text, counts, json=to.json)


@app.command
def show(vin: str, *, to: Target = HERE) -> None:
    """Show one vehicle: its software, and its latest updates.

    Parameters
    ----------
    vin
        The vehicle.
    """
    found = talk(to, lambda web: web.vehicle(vin))
    fields = [
        ("VIN", found.vin),
        ("connected", found.connected),
        ("last seen", _seen(found)),
        *([("connected since", found.last_seen_at)] if found.connected else []),
        ("registered", found.registered_at),
        ("retired", found.retired_at),
        ("components", ", ".join(found.components)),
        ("packages", ", ".join(package.text for package in found.packages)),
        *[("update", _line(update)) for update in found.updates],
    ]
    show_one(fields, found, json=to.json)


def _seen(vehicle: Vehicle) -> datetime | str | None:
    """Describe when a vehicle was last connected, or since when it is."""
    return "now" if vehicle.connected else vehicle.last_seen_at


@app.command
def queue(vin: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List a vehicle's queued updates in their order.

    Parameters
    ----------
    vin
        The vehicle.
    """
    _show_updates(talk(to, lambda web: collect(lambda query: web.queue_of(vin, query), ListQuery(), most.items)), to)


@app.command
def history(vin: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List a vehicle's ended updates, the latest first.

    Parameters
    ----------
    vin
        The vehicle.
    """
    _show_updates(talk(to, lambda web: collect(lambda query: web.history_of(vin, query), ListQuery(), most.items)), to)


@app.command
def order(vin: str, *updates: str, to: Target = HERE) -> None:
    """Change the order of a vehicle's queued updates.

    Parameters
    ----------
    vin
        The vehicle.
    updates
        The ids of all its pending updates, as sota ctl vehicles queue prints them, in the new order.
    """
    _show_updates(talk(to, lambda web: web.order_queue(vin, updates)), to)


@app.command
def attributes(vin: str, *, set: tuple[str, ...] = (), drop: tuple[str, ...] = (), to: Target = HERE) -> None:  # noqa: A002
    """Show or change a vehicle's attributes; filters test them with attribute.

    Parameters
    ----------
    vin
        The vehicle.
    set
        NAME=VALUE of an attribute to set; repeatable.
    drop
        NAME of an attribute to remove; repeatable.
    """
    given = dict(read_attribute(text) for text in set)

    async def work(web: WebClient) -> dict[str, str]:
        has = await web.attributes_of(vin)
        if not given and not drop:
            return has
        return await web.change_attributes(vin, {n: v for n, v in {**has, **given}.items() if n not in drop})

    found = talk(to, work)
    show_list(("Attribute", "Value"), sorted(found.items()), found, json=to.json)


@app.command
def installed(vin: str, *packages: str, none: Switch = False, yes: Switch = False, to: Target = HERE) -> None:
    """Show the packages recorded for a vehicle, or correct the record: this installs and removes nothing.

    Parameters
    ----------
    vin
        The vehicle.
    packages
        NAME/VERSION of everything that is actually installed, replacing the record.
    none
        Instead of packages: nothing is installed.
    yes
        Do not ask for confirmation.
    """
    wanted = [read_installed(package) for package in packages]
    if none and wanted:
        raise StartError("either packages or --none")
    if wanted or none:
        confirm(f"Replace what is known to be installed on {vin}?", yes=yes)
        found = talk(to, lambda web: web.update_packages(vin, wanted))
    else:
        found = talk(to, lambda web: web.packages_of(vin))
    show_list(("Package", "Version"), [(one.name, one.version) for one in found], found, json=to.json)


@app.command
def sync(vin: str, *, to: Target = HERE) -> None:
    """Ask a vehicle what it has installed; its answer updates the record.

    Parameters
    ----------
    vin
        The vehicle.
    """
    talk(to, lambda web: web.ask_for_packages(vin))
    show_done(f"{vin}: asked", {"vin": vin}, json=to.json)


@app.command
def retire(vin: str, *, erase: Switch = False, yes: Switch = False, to: Target = HERE) -> None:
    """Retire a vehicle: nothing more is sent to it, no filter finds it, and its identity becomes invalid.

    Parameters
    ----------
    vin
        The vehicle.
    erase
        Also keep its history under a pseudonym that cannot be reversed.
    yes
        Do not ask for confirmation.
    """
    confirm(f"{'Erase' if erase else 'Retire'} {vin}?", yes=yes)
    said = talk(to, lambda web: web.erase_vehicle(vin) if erase else web.retire_vehicle(vin))
    show_done(f"{vin}: {said.message}", said, json=to.json)


def _show_updates(updates: list[Update], to: Target) -> None:
    rows = [(u.update_id, u.package.text, u.status, u.stage or u.reason, u.changed_at) for u in updates]
    show_list(("Update", "Package", "Status", "Stage or reason", "Changed"), rows, updates, json=to.json)


def _line(update: Update) -> str:
    about = update.stage or update.reason
    more = f" ({about})" if about else ""
    return f"{update.package.text} {update.status}{more}, {printable(update.changed_at)}"
