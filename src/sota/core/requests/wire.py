"""Converts install requests and updates between Core's model and the messages of B2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from sota.boundaries.b2_web_core import messages
from sota.boundaries.values import Interval, PackageId, Reason
from sota.core.requests.model import Counts, InstallRequest, Order, status_of

REASON_TEXTS: Mapping[Reason, str] = {
    Reason.EXPIRED: "The interval of the install request ended before the package was installed.",
    Reason.ROLLED_BACK: "The installation failed or did not prove itself, and the vehicle went back to what it had.",
    Reason.DECLINED: "The driver declined.",
    Reason.ABORTED: "The vehicle gave the download up.",
    Reason.VERIFICATION_FAILED: "The vehicle did not trust what it received: its hash or its signature does not hold.",
    Reason.INSTALL_FAILED: "The installer failed.",
    Reason.DEPENDENCY: "Something that the package needs is not registered, or could not be installed.",
    Reason.UNREACHABLE: "The vehicle did not answer, however often it was tried.",
    Reason.DATA_PLAN: "The vehicle's data plan leaves no room for it within the interval.",
    Reason.CANCELLED: "An operator stopped it.",
    Reason.BLACKLISTED: "A package of it was put on the blacklist.",
    Reason.RETIRED: "The vehicle was retired.",
}


def from_request(body: messages.QueueRequest) -> Order:
    """Read a Queue Package Request."""
    return Order(
        package=(body.package.name, body.package.version),
        priority=body.priority,
        start=body.interval.start,
        end=body.interval.end,
        request_confirmation=body.request_confirmation,
        command=body.command.value,
        allow_downgrade=body.allow_downgrade,
        data_plan_threshold=body.data_plan_threshold,
        description=body.description,
    )


def from_campaign(body: messages.NewCampaign) -> Order:
    """Read a campaign."""
    return Order((body.package.name, body.package.version), body.priority, body.start, body.end)


def to_package_id(package: tuple[str, str]) -> PackageId:
    """Write a Package ID."""
    return PackageId(name=package[0], version=package[1])


def to_request(parts: Sequence[InstallRequest], counts: Counts, now: datetime) -> messages.InstallRequest:
    """Write a request; of a batch, its first package, its first priority and the hull of its intervals."""
    first = parts[0]
    left_out: Counter[str] = Counter()
    for part in parts:
        left_out.update(part.left_out_reasons)
    return messages.InstallRequest(
        install_request_id=str(first.id),
        package=to_package_id(first.order.package),
        priority=min(part.order.priority for part in parts),
        interval=Interval(start=min(part.order.start for part in parts), end=max(part.order.end for part in parts)),
        status=messages.RequestStatus(status_of(parts, counts, now)),
        counts=to_counts(counts),
        left_out=sum(part.left_out for part in parts),
        created_at=first.created_at,
        name=first.name,
        description=first.order.description,
        left_out_reasons=dict(left_out),
        resolutions=[str(part.resolution_id) for part in parts if part.resolution_id is not None],
    )


def to_counts(counts: Counts) -> messages.Counts:
    """Write how many updates are in each state."""
    return msgspec.convert(counts, messages.Counts, from_attributes=True)
