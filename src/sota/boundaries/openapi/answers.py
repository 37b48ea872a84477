"""Answers of operations: every outcome of every row, and the ordinary refusals where they can occur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import inspect

from sota.boundaries.b1_browser_web import admin_rows, page_rows, passed_on_rows
from sota.boundaries.b3_web_resolver import rows as web_rows
from sota.boundaries.b5_core_resolver import rows as core_rows
from sota.boundaries.describe import bare
from sota.boundaries.interaction import Http, Interaction, Lines, Outcome, Program, Role
from sota.boundaries.openapi.bodies import BYTES, BYTES_SCHEMA, FORMS, JSON, NDJSON, entry, lines
from sota.boundaries.openapi.examples import example_of
from sota.boundaries.openapi.schemas import Json, Schemas
from sota.boundaries.ordinary import REFUSALS, Refusal

PROBLEM = "application/problem+json"
HTML = "text/html"
NOT_MODIFIED = 304
ENDINGS = {".js": "text/javascript", ".css": "text/css"}
# The two that stream their array, or one object a line if the caller accepts that.
ALSO_LINES = (web_rows.RESOLVE, core_rows.RESOLVE)
# Forms that answer a refusal with their page again; and everything that checks a password.
PAGES_AGAIN = (page_rows.LOGIN, admin_rows.CHANGE_PASSWORD_FORM)
THROTTLED = (*PAGES_AGAIN, admin_rows.CHANGE_PASSWORD, passed_on_rows.ENROL_BY_CODE)


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that may come back: an outcome of a row, or an ordinary refusal."""

    status: int
    name: str
    text: str
    content: Json
    headers: tuple[str, ...] = ()
    problem: Json | None = None
    is_ordinary: bool = False


def ordinary_responses() -> Json:
    """Return the responses that operations refer to: those of ordinary refusals, by code."""
    return {refusal.code: _response([_refused(refusal)]) for refusal in REFUSALS}


def answers_of(rows: Sequence[Interaction], schemas: Schemas) -> Json:
    """Return the responses of rows that share a route, by status."""
    answers = [answer for row in rows for answer in _declared(row, schemas)] + list(_ordinary(rows))
    statuses = sorted({answer.status for answer in answers})
    return {str(status): _shared([one for one in answers if one.status == status]) for status in statuses}


def _shared(answers: Sequence[Answer]) -> Json:
    if len(answers) == 1 and answers[0].is_ordinary and not answers[0].content:
        return {"$ref": f"#/components/responses/{answers[0].name}"}
    return _response(answers)


def _response(answers: Sequence[Answer]) -> Json:
    """Join what may come back under one status."""
    texts = dict.fromkeys(f"`{answer.name}`: {answer.text}." for answer in answers)
    response: Json = {"description": " ".join(texts)}
    headers = {name: HEADERS[name] for answer in answers for name in answer.headers}
    if headers:
        response["headers"] = headers
    content: Json = {}
    for answer in answers:
        for media, body in answer.content.items():
            known = content.setdefault(media, {"schema": body["schema"]})
            if "example" in body:
                known.setdefault("examples", {})[answer.name] = {"summary": answer.text, "value": body["example"]}
    problems = {answer.name: answer for answer in answers if answer.problem is not None}
    if problems:
        content[PROBLEM] = {
            "schema": _refusal_schema(answers[0].status, sorted(problems)),
            "examples": {name: {"summary": one.text, "value": one.problem} for name, one in problems.items()},
        }
    if content:
        response["content"] = content
    return response


def _refusal_schema(status: int, codes: list[str]) -> Json:
    own = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    return {"allOf": [{"$ref": "#/components/schemas/Problem"}, own]}


def _declared(row: Interaction, schemas: Schemas) -> Iterator[Answer]:
    for outcome in (*row.outcomes, *row.also):
        if outcome.status is None:
            continue
        if outcome.status >= 400:
            content = _page() if row in PAGES_AGAIN else {}
            problem = {"type": "about:blank", "title": outcome.message, "status": outcome.status}
            problem |= {"code": outcome.name, "interaction": row.id}
            yield Answer(outcome.status, outcome.name, outcome.text, content, problem=problem)
        elif outcome.status >= 300:
            headers = ("Location",) if outcome.status != NOT_MODIFIED else ()
            yield Answer(outcome.status, outcome.name, outcome.text, {}, headers)
        else:
            headers = ("Link",) if "cursor" in row.http.parameters else ()
            yield Answer(outcome.status, outcome.name, outcome.text, _success(row, outcome, schemas), headers)


def _success(row: Interaction, outcome: Outcome, schemas: Schemas) -> Json:
    kind = row.response
    if isinstance(row.way, Http) and row.way.asset:
        pages = _page(next((media for end, media in ENDINGS.items() if row.way.path.endswith(end)), HTML))
        return pages if kind is None else {**pages, **_body(kind, schemas)}
    if kind is None:
        return {}
    if outcome.name == "empty":
        return {JSON: {"schema": schemas.of(kind), "example": []}}
    if outcome.message is not None and not isinstance(bare(inspect.type_info(kind)), inspect.ListType):
        known = example_of(kind)
        example = {**(known if isinstance(known, dict) else {}), "message": outcome.message}
        return {JSON: {"schema": schemas.with_message(kind), "example": example}}
    content = _body(kind, schemas)
    if row in ALSO_LINES:
        line = {"type": "string", "contentMediaType": NDJSON, "description": "One object of the array a line."}
        content[NDJSON] = {"schema": line}
    return content


def _body(kind: object, schemas: Schemas) -> Json:
    if isinstance(kind, Lines):
        return {NDJSON: lines(kind, schemas)}
    return {BYTES: BYTES_SCHEMA} if kind is bytes else {JSON: entry(schemas.of(kind), example_of(kind))}


def _page(media: str = HTML) -> Json:
    return {media: {"schema": {"type": "string"}}}


def _ordinary(rows: Sequence[Interaction]) -> Iterator[Answer]:
    possible = _possible(rows)
    for refusal in REFUSALS:
        if refusal.code in possible:
            # To a form of the login page it is the page again.
            yield _refused(refusal, _page() if refusal.code == "too_many" else {})


def _refused(refusal: Refusal, content: Json | None = None) -> Answer:
    problem = {"type": "about:blank", "title": refusal.title, "status": refusal.status, "code": refusal.code}
    headers = {405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(refusal.status, ())
    return Answer(refusal.status, refusal.code, refusal.when, content or {}, headers, problem, is_ordinary=True)


def _possible(rows: Sequence[Interaction]) -> set[str]:
    """Find the ordinary refusals that can come back, by caller, method and body."""
    possible = {"invalid", "url_too_long", "unavailable"}
    has_body = any(row.request is not None or row.id in FORMS for row in rows)
    ways = [row.way for row in rows if isinstance(row.way, Http)]
    if any(way.method != "GET" for way in ways):
        possible |= {"timeout", "too_large", "unsupported_media_type"} if has_body else set()
        possible |= {"forbidden"} if rows[0].callee is Program.WEB_SERVER else set()
    if any(row.role in (Role.OPERATOR, Role.ADMIN) for row in rows):
        possible.add("forbidden")
    if any(row.role not in (None, Role.PUBLIC) for row in rows):
        possible.add("unauthenticated")
    if any(row.outcome("redirected") is not None for row in rows):  # 401 to a client that does not ask for a page
        possible.add("unauthenticated")
    if any(row in THROTTLED for row in rows):
        possible.add("too_many")
    if any(row.callee is Program.WEB_SERVER and row.role not in (None, Role.PUBLIC) for row in rows):
        possible |= {"password_change_due"} if not any(way.asset for way in ways) else set()
    if any(way.keyed for way in ways):
        possible.add("idempotency_key_reused")
    return possible


HEADERS: Json = {
    "Allow": {"description": "the methods that the path has", "schema": {"type": "string"}},
    "Retry-After": {"description": "after how many seconds to try again", "schema": {"type": "string"}},
    "Link": {"description": 'where the next page is, with rel="next"', "schema": {"type": "string"}},
    "Location": {"description": "where to go", "required": True, "schema": {"type": "string"}},
}
