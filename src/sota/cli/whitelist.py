"""``sota whitelist``: the table of all interactions, and everything about one of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sota.boundaries.describe import messages_of
from sota.boundaries.ends import Ends, Place, find_ends, find_uses
from sota.boundaries.interaction import Files, Http, Interaction, Outcome, Program, Rpc, Service, Sql
from sota.boundaries.services import backend_service, vehicle_service
from sota.boundaries.table import TABLE
from sota.kit.errors import NotFound

FOLDERS = {
    Program.WEB_BROWSER: "cli/ctl",
    Program.WEB_SERVER: "web",
    Program.SOTA_CORE: "core",
    Program.EXTERNAL_RESOLVER: "resolver",
    Program.RVI_NODE_SERVER: "rvi",
    Program.RVI_NODE_CLIENT: "rvi",
    Program.SOTA_CLIENT: "client",
    Program.SOFTWARE_LOADING_MANAGER: "slm",
}
"""Where a program's own code is. The operator's command line also stands for a person in a browser."""


def whitelist(
    row: str | None = None,
    /,
    *,
    boundary: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    openapi: str | None = None,
    errors: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Print the whitelist: who may call whom, how, and every possible answer.

    Parameters
    ----------
    row
        One row, by its id: both its ends in the source, its messages, outcomes and tests.
    boundary
        Only the rows of this boundary, for example B2.
    json
        As JSON, for programs.
    openapi
        Instead, the API document (OpenAPI 3.1) of one program: web, core or resolver.
    errors
        Instead, the page of all error codes.
    """
    if openapi is not None:
        sys.stdout.write(_document(openapi))
        return
    if errors:
        from sota.boundaries.openapi.errors import errors_page

        sys.stdout.write(errors_page())
        return
    chosen = _choose(row, boundary)
    ends = find_ends(row=chosen[0].id if row is not None else "")
    if json:
        listed = [as_data(one, ends.get(one.id, Ends())) for one in chosen]
        sys.stdout.write(_pretty(listed))
    elif row is not None:
        print("\n".join(_tell(chosen[0], ends.get(chosen[0].id, Ends()))))
    else:
        print("\n".join(_list(chosen, ends)))


def as_data(row: Interaction, ends: Ends) -> dict[str, object]:
    """Return a row as ``--json`` prints it."""
    data: dict[str, object] = {
        "id": row.id,
        "boundary": row.boundary,
        "title": row.title,
        "caller": row.caller,
        "callee": row.callee,
        "way": way_of(row),
        "outcomes": [_outcome(outcome) for outcome in row.outcomes],
        "also": [_outcome(outcome) for outcome in row.also],
        "tests": sorted({proof.test for proof in ends.proofs}),
        "caller_end": _place(ends.callers),
        "handler": _place(ends.handlers),
    }
    return {**data, "extension": True} if row.is_extension else data


def way_of(row: Interaction) -> str:
    """Describe in one line how a row's call travels."""
    match row.way:
        case Http(method=method, path=path, parameters=query):
            return f"{method} {path}" + (f"?{'&'.join(f'{name}=' for name in query)}" if query else "")
        case Service(side=side, name=name, others=others):
            full = vehicle_service("<VIN>", name) if side == "vehicle" else backend_service(name)
            return ", ".join((f"message to {full}", *others))
        case Rpc(methods=methods):
            return f"JSON-RPC {', '.join(methods)}"
        case Sql(verb=verb, tables=tables):
            return f"{verb} {', '.join(tables)}"
        case Files(verb=verb):
            return f"{verb} a file"


def _choose(row: str | None, boundary: str | None) -> list[Interaction]:
    if row is not None:
        if row.upper() not in TABLE:
            raise NotFound(f"There is no row {row}: sota whitelist lists them all.")
        return [TABLE[row.upper()]]
    if boundary is None:
        return list(TABLE.values())
    chosen = [one for one in TABLE.values() if one.boundary == boundary.upper()]
    known = dict.fromkeys(one.boundary for one in TABLE.values())
    if not chosen and boundary.upper() != "B11":
        raise NotFound(f"There is no boundary {boundary}; there are {', '.join(known)}.")
    return chosen


def _document(name: str) -> str:
    from sota.boundaries.openapi import DOCUMENTED, document

    if name not in DOCUMENTED:
        raise NotFound(f"There is no API document of {name}; there are those of {', '.join(DOCUMENTED)}.")
    return _pretty(document(DOCUMENTED[name]))


def _pretty(data: object) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {"name": outcome.name, "status": outcome.status, "message": outcome.message, "text": outcome.text}


def _place(places: list[Place]) -> dict[str, object] | None:
    return {"file": places[0].file, "line": places[0].line} if places else None


def _list(rows: Sequence[Interaction], ends: Mapping[str, Ends]) -> list[str]:
    lines: list[str] = []
    heading = ""
    counted = [one for one in rows if not one.is_extension]
    for one in rows:
        found = ends.get(one.id, Ends())
        if one.boundary != heading:
            heading = one.boundary
            lines += ["", f"{heading}  {one.caller} - {one.callee}"]
        handler = str(found.handlers[0]) if found.handlers else "-"
        tests = len({proof.test for proof in found.proofs})
        lines.append(
            f"  {one.id:<9} {one.title[:52]:<52}  {way_of(one)[:60]:<60}  "
            f"{len(one.outcomes)} outcomes  {tests} tests  {handler}"
        )
    outcomes = sum(len(one.outcomes) for one in counted)
    extra = len(rows) - len(counted)
    return [*lines, "", f"{len(counted)} rows with {outcomes} outcomes, and {extra} extensions."]


def _tell(row: Interaction, ends: Ends) -> list[str]:
    lines = [f"{row.id}  {row.title}", f"{row.caller} -> {row.callee}: {way_of(row)}"]
    if row.note:
        lines.append(row.note)
    uses = find_uses(ends.callers, FOLDERS[row.caller]) if row.caller in FOLDERS else []
    for heading, places in (("Caller", ends.callers), ("Called by", uses), ("Callee", ends.handlers)):
        if heading == "Called by" and not places:
            continue
        lines += ["", heading, *([f"  {place}  {place.name}" for place in places] or ["  -"])]
    for what, body in messages_of(row):
        lines += ["", f"{what.capitalize()}: {body.name}"]
        lines += [
            f"  {member.name:<22} {member.type}{'' if member.required else ', optional'}" for member in body.fields
        ]
    for heading, outcomes in (("Outcomes", row.outcomes), ("Also", row.also)):
        lines += ["", heading] if outcomes else []
        for outcome in outcomes:
            said = f"'{outcome.message}'" if outcome.message else ""
            lines.append(f"  {outcome.name:<22} {outcome.status or '-':<4} {said}".rstrip())
            lines.append(f"  {'':<22}      {outcome.text}")
    proofs = [f"  {proof.test}  {' '.join(proof.outcomes)}".rstrip() for proof in sorted(ends.proofs)]
    return [*lines, "", "Tests", *(proofs or ["  -"])]
