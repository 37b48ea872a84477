"""``sota ctl requests``: install requests from queueing to their end."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import App

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b2_web_core.messages import InstallRequest, QueueRequest, RequestChanged, RequestStatus
from sota.boundaries.b2_web_core.queries import RequestQuery, RequestVehicleQuery
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import Command, UpdateStatus
from sota.cli.ctl.arguments import ANY_TIME, AS_WRITTEN, MOST, Most, Priority, Switch, When, read_package, read_span
from sota.cli.ctl.output import show_done, show_list, show_one, warn
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.resolutions import packages_text
from sota.cli.ctl.session import collect, talk
from sota.kit.errors import StartError

LOOK_S = 2.0
app = App(name="requests", help="Queue packages; follow, cancel, stop and retry install requests.")


@app.command
def create(
    *packages: str,
    priority: Priority = 50,
    when: When = ANY_TIME,
    confirm: Switch = False,
    remove: Switch = False,
    allow_downgrade: Switch = False,
    description: str | None = None,
    to: Target = HERE,
) -> None:
    """Queue packages for the vehicles that match their filters: several make one request, all or none.

    Parameters
    ----------
    packages
        NAME/VERSION of each.
    priority
        1 is first, 100 last.
    confirm
        Ask the driver for consent.
    remove
        Remove the package instead of installing it.
    allow_downgrade
        Also for vehicles that have a later version.
    description
        What the driver reads.
    """
    if not packages:
        raise StartError("which packages? sota ctl requests create NAME/VERSION …")
    interval = when.interval()
    wanted = [
        QueueRequest(
            package=read_package(package),
            priority=priority,
            interval=interval,
            request_confirmation=confirm,
            command=Command.REMOVE if remove else Command.INSTALL,
            allow_downgrade=allow_downgrade,
            description=description,
        )
        for package in packages
    ]
    queued = talk(to, lambda web: web.queue_package(wanted[0]) if len(wanted) == 1 else web.queue_packages(wanted))
    show_done(f"Queued: request {queued.install_request_id}", queued, json=to.json)
    warn(queued.warning)


@app.command(name="list")
def list_requests(
    *,
    package: str | None = None,
    vin: str | None = None,
    status: Annotated[RequestStatus | None, AS_WRITTEN] = None,
    most: Most = MOST,
    to: Target = HERE,
) -> None:
    """List install requests; without a status, those that have not ended.

    Parameters
    ----------
    package
        Only requests for this package, NAME/VERSION.
    vin
        Only requests for this vehicle.
    status
        Only requests with this status.
    """
    wanted = RequestQuery(package, vin, status)
    found = talk(to, lambda web: collect(web.queued_requests, wanted, most.items))
    rows = [
        (r.install_request_id, r.name, r.package.text, r.status, r.counts.pending, r.counts.in_flight,
         r.counts.installed, r.counts.failed, r.counts.cancelled, r.interval.end)
        for r in found
    ]  # fmt: skip
    titles = (
        "Request",
        "Name",
        "Package",
        "Status",
        "Pending",
        "In flight",
        "Installed",
        "Failed",
        "Cancelled",
        "Until",
    )
    show_list(titles, rows, found, json=to.json)


@app.command
def show(request: str, *, to: Target = HERE) -> None:
    """Show the state of an install request.

    Parameters
    ----------
    request
        Its id.
    """
    found = talk(to, lambda web: web.install_request(request))
    counts = found.counts
    fields = [
        ("request", found.install_request_id),
        ("name", found.name),
        ("package", found.package.text),
        ("status", found.status),
        ("priority", found.priority),
        ("from", found.interval.start),
        ("until", found.interval.end),
        ("pending", counts.pending),
        ("in flight", counts.in_flight),
        ("installed", counts.installed),
        ("failed", counts.failed),
        ("cancelled", counts.cancelled),
        ("left out", found.left_out),
        *(("left out", f"{count} {reason}") for reason, count in found.left_out_reasons.items()),
        *(("resolution", resolution) for resolution in found.resolutions),
    ]
    show_one(fields, found, json=to.json)


@app.command
def vehicles(
    request: str,
    *,
    status: Annotated[UpdateStatus | None, AS_WRITTEN] = None,
    most: Most = MOST,
    to: Target = HERE,
) -> None:
    """List the updates of an install request, one a vehicle.

    Parameters
    ----------
    request
        Its id.
    status
        Only updates with this status.
    """
    wanted = RequestVehicleQuery(status)
    found = talk(to, lambda web: collect(lambda query: web.request_vehicles(request, query), wanted, most.items))
    rows = [(u.vin, u.status, u.stage or u.reason, u.acknowledged, u.size, u.changed_at) for u in found]
    show_list(("VIN", "Status", "Stage or reason", "Bytes", "Of", "Changed"), rows, found, json=to.json)


@app.command
def completed(request: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List the vehicles that have an install request's package, and since when.

    Parameters
    ----------
    request
        Its id.
    """
    found = talk(to, lambda web: collect(lambda query: web.completed_installs(request, query), ListQuery(), most.items))
    show_list(("VIN", "Since"), [(one.vin, one.completed_at) for one in found], found, json=to.json)


@app.command
def update(update_id: str, *, to: Target = HERE) -> None:
    """Show one vehicle's update, with its installer's output.

    Parameters
    ----------
    update_id
        Its id, as sota ctl vehicles queue and history print it.
    """
    found = talk(to, lambda web: web.update(update_id))
    fields = [
        ("update", found.update_id),
        ("request", found.install_request_id),
        ("VIN", found.vin),
        ("packages", packages_text(found.packages)),
        ("status", found.status),
        ("stage or reason", found.stage or found.reason),
        *((("which means", found.reason_text),) if found.reason_text else ()),
        *((("ended by", found.ended_by),) if found.ended_by else ()),
        ("bytes", f"{found.acknowledged} of {found.size}"),
        ("created", found.created_at),
        ("changed", found.changed_at),
        ("completed", found.completed_at),
        ("result", found.result_code),
        *(("said", line) for line in (found.result_text or "").splitlines()),
    ]
    show_one(fields, found, json=to.json)


@app.command
def watch(request: str, *, timeout: str | None = None, to: Target = HERE) -> None:
    """Follow an install request until it ends; exit code 1 if an update failed, or at the time-out.

    Parameters
    ----------
    request
        Its id.
    timeout
        Time-out, for example 30m; the default is none.
    """
    limit_s = read_span(timeout).total_seconds() if timeout else None

    async def work(web: WebClient) -> InstallRequest:
        seen = ""
        async with asyncio.timeout(limit_s):
            while True:
                found = await web.install_request(request)
                line = _line(found)
                if line != seen and not to.json:
                    print(line, flush=True)
                seen = line
                if found.status.is_over:
                    return found
                await asyncio.sleep(LOOK_S)

    try:
        found = talk(to, work)
    except TimeoutError:
        raise StartError(f"{request} is not over after {timeout}", exit_code=1) from None
    if to.json:
        show_done("", found, json=True)
    if found.counts.failed:
        print(f"{found.counts.failed} failed: sota ctl requests vehicles {request} --status failed", file=sys.stderr)
        sys.exit(1)


@app.command
def cancel(request: str, *, to: Target = HERE) -> None:
    """Cancel the waiting updates of an install request; running ones continue.

    Parameters
    ----------
    request
        Its id.
    """
    _show_change("cancelled", talk(to, lambda web: web.cancel_request(request)), to)


@app.command
def stop(request: str, *, to: Target = HERE) -> None:
    """Cancel the waiting updates of an install request, and abort the running ones.

    Parameters
    ----------
    request
        Its id.
    """
    _show_change("ended", talk(to, lambda web: web.stop_request(request)), to)


@app.command
def retry(request: str, *, to: Target = HERE) -> None:
    """Retry the failed or cancelled updates of an install request, as long as its interval lasts.

    Parameters
    ----------
    request
        Its id.
    """
    _show_change("tried again", talk(to, lambda web: web.retry_request(request)), to)


def _show_change(what: str, changed: RequestChanged, to: Target) -> None:
    goes_on = f"; {changed.installing} continue, since their installation has begun" if changed.installing else ""
    show_done(f"{changed.changed} {what}{goes_on}", changed, json=to.json)


def _line(found: InstallRequest) -> str:
    c = found.counts
    return (
        f"{found.package.text} {found.status}: {c.pending} pending, {c.in_flight} in flight, {c.installed} installed, "
        f"{c.failed} failed, {c.cancelled} cancelled"
    )
