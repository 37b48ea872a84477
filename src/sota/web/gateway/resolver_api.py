"""Rows of B1 that are passed on to the External Resolver (B3)."""

from __future__ import annotations

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b3_web_resolver.client import ResolverClient
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import calls, serves
from sota.boundaries.parameters import DeleteFilterQuery, NamePath
from sota.web.gateway.passing import Gateway, pass_on


class ResolverApi(Gateway):
    """Filters, attributes, groups, dependencies and resolutions."""

    def __init__(self, resolver: ResolverClient, core: CoreClient) -> None:
        super().__init__(resolver.caller, core)

    new_filter = pass_on("WL-B1-6", to="WL-B3-4")
    associate = pass_on("WL-B1-7", to="WL-B3-3")
    filters = pass_on("WL-B1-22", "WL-B1-23", to=("WL-B3-6", "WL-B3-7"))
    update_filter = pass_on("WL-B1-24", to="WL-B3-8")
    filters_of = pass_on("X-B1-65", to="X-B3-1")
    detach = pass_on("X-B1-66", to="X-B3-26", after_core=True)

    attributes_of = pass_on("X-B1-24", to="X-B3-5", after_core=True)
    change_attributes = pass_on("X-B1-25", to="X-B3-6", after_core=True)
    groups = pass_on("X-B1-26", to="X-B3-7")
    group = pass_on("X-B1-27", to="X-B3-8")
    keep_group = pass_on("X-B1-28", to="X-B3-9")
    delete_group = pass_on("X-B1-29", to="X-B3-10")
    members_of = pass_on("X-B1-30", to="X-B3-11")
    add_members = pass_on("X-B1-31", to="X-B3-12", after_core=True)
    remove_members = pass_on("X-B1-32", to="X-B3-13", after_core=True)

    dependencies_of = pass_on("X-B1-33", to="X-B3-14")
    declare_dependencies = pass_on("X-B1-34", to="X-B3-15")
    drop_dependencies = pass_on("X-B1-35", to="X-B3-16")
    explain = pass_on("X-B1-36", to="X-B3-17", after_core=True)
    preview = pass_on("X-B1-37", to="X-B3-18", after_core=True)
    validate = pass_on("X-B1-38", to="X-B3-19")
    format = pass_on("X-B1-39", to="X-B3-20")
    preview_package = pass_on("X-B1-60", to="X-B3-21", after_core=True)
    resolution = pass_on("X-B1-61", to="X-B3-22")
    chosen = pass_on("X-B1-62", to="X-B3-23")
    left_out = pass_on("X-B1-63", to="X-B3-24")
    difference = pass_on("X-B1-64", to="X-B3-25")

    @serves("WL-B1-25")
    @calls("WL-B3-9")
    async def delete_filter(self, call: Call[NamePath, DeleteFilterQuery, None]) -> Reply:
        """Delete a filter; unless targets may widen, the Resolver first counts the vehicles that would be added."""
        return await self.pass_to("WL-B3-9", call, after_core=not call.query.widen)
