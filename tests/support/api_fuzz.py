"""Trying out the whole API document: a backend beside the test, and cases that schemathesis makes of the document.

The programs run on an event loop in a thread of their own, because schemathesis speaks ``requests``. Some of the cases
name objects that are there: made-up names alone would seldom come further than the first look-up.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sota.boundaries.interaction import Role
from sota.boundaries.openapi import DOCUMENTED, document
from sota.web.accounts.service import issue_token
from tests.support.backend import Backend, running_backend

Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]

ROLES = (Role.ADMIN, Role.OPERATOR, Role.VIEWER, Role.PUBLIC)
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMEOUT_S = 30.0
START_TIMEOUT_S = 60.0
# What refuses a request before its caller is looked at: a query or path that cannot be read.
UNREADABLE = frozenset({400, 414})
INTERVAL = {"start": "2020-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"}


@dataclass(slots=True)
class Target:
    """A running backend as schemathesis sees it: its address, a token a role, the objects that are there."""

    address: str
    certificate: str
    tokens: Mapping[Role, str | None]
    known: Mapping[str, list[str]]
    session: requests.Session = field(default_factory=requests.Session)

    def send(self, case: Case, role: Role) -> Any:
        """Send a case with a role's token; credentials that the case itself contains are dropped."""
        for name in [name for name in case.headers if name.lower() == "authorization"]:
            del case.headers[name]
        token = self.tokens[role]
        headers = {"Authorization": f"Bearer {token}"} if token is not None else None
        self.session.cookies.clear()
        return case.call(
            base_url=self.address,
            session=self.session,
            headers=headers,
            verify=self.certificate,
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )


@contextmanager
def running_target(folder: Path) -> Iterator[Target]:
    """Run a backend with some objects in it as long as the block."""
    started: Future[Target] = Future()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        databases = [f"sqlite:///{folder}/{name}.db" for name in ("core", "resolver", "web")]
        async with running_backend(folder, databases) as backend:
            started.set_result(await _fill(backend))
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="backend", daemon=True)
    thread.start()
    target = started.result(START_TIMEOUT_S)
    try:
        yield target
    finally:
        target.session.close()
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
        assert not thread.is_alive()


async def _fill(backend: Backend) -> Target:
    vins = [await backend.with_vehicle() for _ in range(3)]
    packages = [await backend.with_package("ivi", "2.1.0"), await backend.with_targeted_package()]
    filters = [await backend.with_filter('vin_matches "^WVW"'), "no-such-filter"]
    for part_number in ("TCU-5G.2", "TCU-4G"):
        await backend.ask("POST", "/api/v1/components", {"part_number": part_number})
    name, _, version = packages[1].partition("/")
    body = {"package": {"name": name, "version": version}, "priority": 10, "interval": INTERVAL}
    queued = await backend.ask("POST", "/api/v1/install-requests", body)
    request_id = queued.body["install_request_id"]
    updates = await backend.ask("GET", f"/api/v1/install-requests/{request_id}/vehicles")
    request = await backend.ask("GET", f"/api/v1/install-requests/{request_id}")
    group = "/api/v1/groups/pilots"
    await backend.ask("PUT", group, {"description": "those who try things first"})
    await backend.ask("PUT", f"{group}/vehicles", vins[:2])
    await backend.ask("POST", "/api/v1/users", {"name": "somebody", "role": "viewer"}, role=Role.ADMIN)
    tokens: dict[Role, str | None] = {Role.PUBLIC: None}
    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        tokens[role] = await issue_token(backend.web.db, role, f"fuzz-{role}")
    known = {
        "vin": vins,
        "name": [package.partition("/")[0] for package in packages] + filters,
        "version": [package.partition("/")[2] for package in packages],
        "id": [request_id, *request.body["resolutions"]],
        "group": ["pilots"],
        "user": ["somebody"],
        "update_id": [update["update_id"] for update in updates.body],
        "page": ["index"],
        "file": ["console"],
        "filter": filters,
        "package": packages,
    }
    assert backend.web.certificate is not None
    return Target(f"https://localhost:{backend.web.https_port}", str(backend.web.certificate), tokens, known)


def load() -> dict[str, Operation]:
    """Read the Web Server's document into schemathesis's operations, by their label (``GET /login``)."""
    made = document(DOCUMENTED["web"])
    # Long lists of large objects take seconds to make up, and try out nothing that short ones do not.
    batch = made["paths"]["/api/v1/install-requests/batch"]["post"]["requestBody"]["content"]["application/json"]
    batch["schema"]["maxItems"] = 3
    made["components"]["schemas"]["PackageMetadata"]["properties"]["dependencies"]["maxItems"] = 3
    schema = schemathesis.openapi.from_dict(made)
    operations: dict[str, Operation] = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operations[result.ok().label] = result.ok()
    return operations


def run_cases(operation: Operation, target: Target, role: Role, count: int) -> int:
    """Make up cases of one operation, send them in a role's name and hold the answers against the document.

    Gives how many cases were sent.
    """
    sent = 0
    needed = Role(operation.definition.raw["x-role"])

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=settings.default is not None and settings.default.derandomize,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(operation), st.data())
    def try_out(case: Case, data: st.DataObject) -> None:
        nonlocal sent
        if data.draw(st.booleans()):
            name_known_objects(case, target.known, data)
        response = target.send(case, role)
        sent += 1
        hold(case, response, role, needed)

    try_out()
    return sent


def cases(operation: Operation) -> st.SearchStrategy[Case]:
    """Generate cases that fit the document, and cases that do not where the operation has any input."""
    fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not operation.body and not operation.path_parameters and not operation.query:
        return fitting
    return st.one_of(fitting, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def name_known_objects(case: Case, known: Mapping[str, list[str]], data: st.DataObject) -> None:
    """Put objects that are there into the path and into a body's first level."""
    for name in sorted(case.path_parameters.keys() & known.keys()):
        case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
    body: Any = case.body
    if not isinstance(body, dict):
        return
    for name in sorted(body.keys() & {"vin", "filter"}):
        body[name] = data.draw(st.sampled_from(known[name]))
    if "package" in body:
        package, _, version = data.draw(st.sampled_from(known["package"])).partition("/")
        body["package"] = {"name": package, "version": version}


def hold(case: Case, response: Any, role: Role, needed: Role) -> None:
    """Check that an answer is declared, has the declared form, and is allowed to the role."""
    status = response.status_code
    case.validate_response(response, checks=CHECKS)
    # 503 is declared everywhere; here every neighbour is there.
    assert status < 500, f"{status}: {response.text}\n{case.as_curl_command()}"
    if role.allows(needed) or status in UNREADABLE:
        return
    refused = {401, 301, 303} if role is Role.PUBLIC else {403}
    assert status in refused, f"{role} got {status} where {needed} is needed\n{case.as_curl_command()}"
