"""Rows of B1 that are passed on to SOTA Core (B2)."""

from __future__ import annotations

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.identity_messages import CodeEnrolment
from sota.boundaries.b2_web_core.queries import ComponentQuery
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import calls, serves
from sota.kit.errors import Invalid, Refused
from sota.web.gateway.passing import Gateway, pass_on
from sota.web.sessions.throttle import EnrolmentThrottle

COUNTED = frozenset({"code_refused", "invalid"})


class CoreApi(Gateway):
    """Install requests, vehicles, packages, components, queues and identities."""

    def __init__(self, core: CoreClient, throttle: EnrolmentThrottle) -> None:
        super().__init__(core.caller, core)
        self._throttle = throttle

    new_campaign = pass_on("WL-B1-5", to="WL-B2-3")
    queue_package = pass_on("WL-B1-8", to="WL-B2-4")
    queue_packages = pass_on("WL-B1-18", to="WL-B2-5")
    queued_requests = pass_on("WL-B1-19", to="WL-B2-6")
    search_vehicles = pass_on("WL-B1-20", to="WL-B2-7")
    update_packages = pass_on("WL-B1-26", to="WL-B2-9")
    packages_of = pass_on("WL-B1-27", to="WL-B2-10")
    vehicles_with = pass_on("WL-B1-28", to="WL-B2-11")
    completed_installs = pass_on("WL-B1-31", to="WL-B2-14")
    vehicle = pass_on("X-B1-1", to="X-B2-1")
    install_request = pass_on("X-B1-2", to="X-B2-2")
    request_vehicles = pass_on("X-B1-3", to="X-B2-3")
    update = pass_on("X-B1-4", to="X-B2-4")
    search_packages = pass_on("X-B1-5", to="X-B2-5")
    package = pass_on("X-B1-6", to="X-B2-6")

    cancel_request = pass_on("X-B1-12", to="X-B2-10")
    stop_request = pass_on("X-B1-13", to="X-B2-11")
    retry_request = pass_on("X-B1-14", to="X-B2-12")
    queue_of = pass_on("X-B1-15", to="X-B2-13")
    order_queue = pass_on("X-B1-16", to="X-B2-14")
    history_of = pass_on("X-B1-17", to="X-B2-15")
    ask_for_packages = pass_on("X-B1-18", to="X-B2-16")
    blacklist = pass_on("X-B1-19", to="X-B2-17")
    allow = pass_on("X-B1-20", to="X-B2-18")
    preview_blacklisting = pass_on("X-B1-21", to="X-B2-19")

    enrol = pass_on("X-B1-80", to="X-B2-30")
    identities_of = pass_on("X-B1-81", to="X-B2-31")
    new_enrolment_code = pass_on("X-B1-82", to="X-B2-32")
    revoke_identities = pass_on("X-B1-84", to="X-B2-34")
    revocations = pass_on("X-B1-85", to="X-B2-35")
    authority = pass_on("X-B1-86", to="X-B2-36")

    @serves("WL-B1-30")
    @calls("WL-B2-13")
    async def search_components(self, call: Call[None, ComponentQuery, None]) -> Reply:
        """List components by a regex, by part numbers or by name."""
        if len(call.query.given) > 1:
            raise Invalid("Search by one of regex, id and name.")
        return await self.pass_to("WL-B2-13", call)

    @serves("X-B1-83")
    @calls("X-B2-33")
    async def enrol_by_code(self, call: Call[None, None, CodeEnrolment]) -> Reply:
        """Enrol a vehicle that shows its code; wrong codes are counted."""
        await self._throttle.check(call.client)
        try:
            return await self.pass_to("X-B2-33", call)
        except Refused as error:
            if error.code in COUNTED:
                await self._throttle.count(call.client)
            raise
