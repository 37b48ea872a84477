"""Rows of B12, Logistics & Provisioning to SOTA Core. The whitelist only names the boundary; the rows are ours."""

from __future__ import annotations

from sota.boundaries.b12_logistics_core import messages
from sota.boundaries.interaction import Boundary, Http, Lines, Program, answers, declared
from sota.boundaries.ordinary import AUTHENTICATION_FAILED

B12 = Boundary("B12", Program.LOGISTICS, Program.SOTA_CORE, also=(AUTHENTICATION_FAILED,))

PROVISION_VEHICLES = B12.row(
    "X-B12-1",
    "Provision vehicles",
    Http("POST", "/api/v1/logistics/vehicles", max_body=None),
    answers("provisioned", "a result a line, each committed before it is answered"),
    request=Lines(messages.ProvisionedVehicle),
    response=Lines(messages.ProvisionResult),
)

ROWS = declared(globals())
