"""Interaction: one row of the whitelist, as data.

Rules kept here:

* a row names its caller, its callee, how the call travels, and **every** outcome with its status and literal message;
* routes, clients, the API document and the conformance page are made from rows, never beside them;
* both ends of a row are marked in the source (``binding/decorators.py``).

Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from sota.boundaries.parameters import Parameters

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class Program(StrEnum):
    """The nine programs of the whitelist, the two databases and the two back-office systems, by its own names.

    The head unit is ours: the screen before which the vehicle's driver sits.
    """

    WEB_BROWSER = "Web Browser"
    WEB_SERVER = "Web Server"
    SOTA_CORE = "SOTA Core"
    EXTERNAL_RESOLVER = "External Resolver"
    CORE_DATABASE = "SOTA Core Database"
    RESOLVER_DATABASE = "External Resolver Database"
    RVI_NODE_SERVER = "RVI Node Server"
    RVI_NODE_CLIENT = "RVI Node Client"
    SOTA_CLIENT = "SOTA Client"
    SOFTWARE_LOADING_MANAGER = "Software Loading Manager"
    HEAD_UNIT = "Head Unit"
    BILLING = "Charging & Billing API"
    LOGISTICS = "Logistics & Provisioning API"
    REPOSITORY = "Physical Package Repository"
    OPERATION = "Operation"
    EVERY = "Every program"


class Role(StrEnum):
    """Who may make a call of B1; each role may do what the one before it may."""

    PUBLIC = "public"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Return whether this role may make a call that needs ``needed``."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One bullet of a row.

    ``name`` is the stable key that handlers and clients use (it is also the ``code`` of an error body);
    ``status`` is the HTTP status, None for what has none (a store's typed result, a behaviour such as resuming);
    ``message`` is the row's literal text, with ``{package}`` where the row says *Package ID*, None where it gives none;
    ``text`` says in one sentence what happens.
    """

    name: str
    text: str
    status: int | None = None
    message: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether this is an answer of success (2xx or 3xx)."""
        return self.status is not None and self.status < 400

    def render(self, **values: str) -> str | None:
        """Return the literal message with its placeholders filled in (``package="ivi/2.1.0"``)."""
        return self.message.format(**values) if self.message is not None else None


ACCEPTED = Outcome("accepted", "the work is begun; the answer's Location tells how it stands", 202)
"""The answer to long work over HTTP; the row's own follows when the vehicle is done
(docs/specification.md, ruling 11)."""


@dataclass(frozen=True, slots=True)
class Http:
    """A call over HTTP: method, path template (``/api/v1/vehicles/{vin}``).

    ``query`` has a member for every parameter that the call may have; any other one is refused.
    ``keyed`` says that the call takes an ``Idempotency-Key``: repeated under one key, it is done once.
    ``selected_by`` names the query parameter by whose presence this row is chosen where several rows share a path
    (B1-22 and B1-23). ``asset`` marks rows that answer with a page or file and not with JSON.
    ``secret_path`` marks a callback address that is guarded by an unguessable path and no credential (ruling 10).
    ``read_only`` marks a POST that changes nothing and needs a body: the audit trail skips it.
    ``max_body`` bounds the request's body in bytes; None means streamed, bounded by the handler.
    """

    method: str
    path: str
    query: type[Parameters] | None = None
    selected_by: str | None = None
    asset: bool = False
    secret_path: bool = False
    read_only: bool = False
    keyed: bool = False
    max_body: int | None = 1 << 20

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the query's parameters."""
        return self.query.__struct_encode_fields__ if self.query is not None else ()


@dataclass(frozen=True, slots=True)
class Service:
    """A message to a service over the RVI nodes: ``side`` is ``vehicle`` or ``backend``, ``name`` is like ``notify``.

    The full name is ``genivi.org/vin/<VIN>/sota/<name>`` or ``genivi.org/backend/sota/<name>``.
    ``others`` are further services of the same row (``cancel`` beside ``start``, ``abort``).
    """

    side: str
    name: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rpc:
    """JSON-RPC methods of a node's service edge."""

    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement on a database: the verb and the tables that it touches."""

    verb: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """A write to or read from the package repository."""

    verb: str


Way = Http | Service | Rpc | Sql | Files


@dataclass(frozen=True, slots=True)
class Interaction:
    """One row: what may be called, by whom, how, and everything that can come back.

    ``outcomes`` are the row's bullets in the whitelist's order. ``also`` are answers that docs/specification.md adds to
    them (an invalid filter on a row that only speaks of duplicates): found by name like the others, and not counted.
    ``request`` and ``response`` are the types of the bodies; ``bytes`` means the bytes themselves, ``Lines(T)`` NDJSON.
    A row of several services or methods has a dict: the type of each.
    """

    id: str
    title: str
    caller: Program
    callee: Program
    way: Way
    outcomes: tuple[Outcome, ...] = ()
    also: tuple[Outcome, ...] = ()
    request: object = None
    response: object = None
    role: Role | None = None
    note: str = ""

    @property
    def boundary(self) -> str:
        """The boundary's id: the middle of the row's id."""
        return self.id.split("-")[1]

    @property
    def is_extension(self) -> bool:
        """Whether the row is an extension, ours or the authors' later one, rather than one of the 99."""
        return self.id.startswith("X-") or self.note.startswith("extension")

    @property
    def is_long_work(self) -> bool:
        """Whether the answer comes long after the request, when a vehicle is done
        (docs/specification.md, ruling 11)."""
        return isinstance(self.way, Http) and any(outcome.name == "complete" for outcome in self.outcomes)

    def outcome(self, name: str) -> Outcome | None:
        """Find the outcome with this name, or None. Long work also knows ``accepted``, 202."""
        for known in (self.outcomes, self.also):
            for outcome in known:
                if outcome.name == name:
                    return outcome
        return ACCEPTED if name == ACCEPTED.name and self.is_long_work else None

    @property
    def http(self) -> Http:
        """How the call travels over HTTP.

        Raises:
            TypeError: it travels in another way.
        """
        if not isinstance(self.way, Http):
            raise TypeError(f"{self.id} is no call over HTTP")
        return self.way


class Row(Interaction, Generic[Answer_co]):
    """An interaction whose answer has a type that its callers know: see :meth:`Boundary.row`."""

    __slots__ = ()


class More(TypedDict, total=False):
    """What a row may declare beside its way and outcomes: see :class:`Interaction`."""

    also: tuple[Outcome, ...]
    request: object
    role: Role | None
    note: str


@dataclass(frozen=True, slots=True)
class Boundary:
    """The two sides of a boundary, and what all its rows can answer; makes its rows.

    >>> B = Boundary("T1", Program.WEB_SERVER, Program.SOTA_CORE)
    >>> B.row("WL-T1-4", "Queue Package Request", Http("POST", "/api/v1/install-requests")).id
    'WL-T1-4'
    """

    id: str
    caller: Program
    callee: Program
    also: tuple[Outcome, ...] = ()

    @overload
    def row(self, id: str, title: str, way: Way, *outcomes: Outcome, **more: Unpack[More]) -> Row[None]: ...
    @overload
    def row(
        self, id: str, title: str, way: Way, *outcomes: Outcome, response: type[Answer_co], **more: Unpack[More]
    ) -> Row[Answer_co]: ...
    @overload  # Any: Annotated and Lines are no types to mypy; what the client returns says what the answer is
    def row(
        self, id: str, title: str, way: Way, *outcomes: Outcome, response: object, **more: Unpack[More]
    ) -> Row[Any]: ...
    def row(
        self, id: str, title: str, way: Way, *outcomes: Outcome, response: object = None, **more: Unpack[More]
    ) -> Row[Any]:
        """Declare a row by its whole id: ``WL-…`` is the whitelist's, ``X-…`` an extension of ours.

        Raises:
            ValueError: the id is another boundary's.
        """
        if id.split("-")[1:2] != [self.id]:
            raise ValueError(f"{id} is not a row of {self.id}")
        named = {outcome.name for outcome in outcomes}
        more["also"] = tuple(one for one in (*more.get("also", ()), *self.also) if one.name not in named)
        return Row(id, title, self.caller, self.callee, way, outcomes, response=response, **more)

    def like(
        self,
        id: str,
        row: Row[Answer],
        *outcomes: Outcome,
        title: str = "",
        way: Way | None = None,
        **more: Unpack[More],
    ) -> Row[Answer]:
        """Declare a row that repeats another boundary's, except for what is given here."""
        own: More = {"request": row.request, "note": row.note, "also": row.also, **more}
        own["also"] = tuple(one for one in own["also"] if one not in self.also)
        kept = outcomes or row.outcomes
        return self.row(id, title or row.title, way or row.way, *kept, response=row.response, **own)

    def carries(self, id: str, row: Interaction) -> Row[None]:
        """Declare a row that carries another boundary's message, and has no outcomes of its own."""
        return self.row(id, row.title, row.way, request=row.request, note=row.note)


def by_route(rows: Iterable[Interaction]) -> dict[tuple[str, str], list[Interaction]]:
    """Group the rows over HTTP by method and path."""
    routes: dict[tuple[str, str], list[Interaction]] = {}
    for row in rows:
        if isinstance(row.way, Http):
            routes.setdefault((row.way.method, row.way.path), []).append(row)
    return routes


def declared(names: Mapping[str, object]) -> tuple[Interaction, ...]:
    """Return the rows that a module declares (``ROWS = declared(globals())``): none can be left out."""
    return tuple(value for value in names.values() if isinstance(value, Interaction))


def answers(name: str, text: str, message: str | None = None, status: int = 200) -> Outcome:
    """An outcome of success over HTTP."""
    return Outcome(name, text, status, message)


def refuses(name: str, status: int, message: str, text: str = "") -> Outcome:
    """An outcome of failure over HTTP, with the row's literal message."""
    return Outcome(name, text or message, status, message)


def fails(request_name: str, text: str = "an error occurs") -> Outcome:
    """The outcome 'an error occurs': 404, title '<name of the request> failed' (docs/specification.md, ruling 2)."""
    return Outcome("failed", text, 404, f"{request_name} failed")


def results(name: str, message: str | None, text: str) -> Outcome:
    """A typed result of a store (B4, B6, B13); its text appears in logs."""
    return Outcome(name, text, None, message)


def behaves(name: str, text: str) -> Outcome:
    """An outcome that is a behaviour rather than an answer: resume after a lost network, discard a duplicate."""
    return Outcome(name, text)


@dataclass(frozen=True, slots=True)
class Lines:
    """A body of NDJSON: one ``item`` a line, streamed."""

    item: object
