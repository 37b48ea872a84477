"""From a request's method and path to the rows that share that route.

A template's segment is literal (``vehicles``), a value (``{vin}``) or a value with a literal ending (``{file}.js``);
literal before ending before value. Segments are split before they are unquoted, so that ``%2F`` cannot move a request
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from sota.boundaries.binding.call import Handler
from sota.boundaries.interaction import Interaction
from sota.kit.errors import Invalid, NotAllowed, NotFound


@dataclass(frozen=True, slots=True)
class Route:
    """A method and template with its rows (several where the whitelist names one call twice) and handler."""

    method: str
    path: str
    handler: Handler
    rows: tuple[Interaction, ...]


@dataclass(slots=True)
class Branch:
    """A node of the tree of paths."""

    literals: dict[str, Branch] = field(default_factory=dict)
    endings: list[tuple[str, str, Branch]] = field(default_factory=list)
    value: tuple[str, Branch] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """The routes of one program."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._root = Branch()

    def add(self, route: Route) -> None:
        """Add a route; a second one for the same method and path is a mistake of ours.

        Raises:
            ValueError: the route is already there.
        """
        branch = self._root
        for segment in route.path.strip("/").split("/"):
            branch = _grow(branch, segment)
        if route.method in branch.routes:
            raise ValueError(f"{route.method} {route.path} has two handlers")
        branch.routes[route.method] = route
        self.routes.append(route)

    def find(self, method: str, raw_path: bytes) -> tuple[Route, dict[str, str]]:
        """Find the route of a request and the values in its path.

        Raises:
            NotFound: no route has this path.
            NotAllowed: this path has no such method; its ``allow`` header lists those it has.
            Invalid: the path is not UTF-8.
        """
        try:
            segments = segments_of(raw_path)
        except UnicodeDecodeError:
            raise Invalid("The path is not UTF-8.") from None
        values: dict[str, str] = {}
        # A name may be the same as a literal segment of another path: the one that has the method is meant.
        branch = _descend(self._root, segments, method, values) or _descend(self._root, segments, None, values)
        if branch is None:
            raise NotFound("There is no such path.")
        if method not in branch.routes:
            methods = sorted({route.method for route in self.routes})
            allowed = ", ".join(one for one in methods if _descend(self._root, segments, one, {}) is not None)
            raise NotAllowed(f"This path takes {allowed}.", headers={"allow": allowed})
        return branch.routes[method], values


def segments_of(raw_path: bytes) -> list[str]:
    """Split a path into its segments, and unquote each; slashes before and behind it mean nothing.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return [unquote_to_bytes(part).decode() for part in raw_path.strip(b"/").split(b"/")]


def _grow(branch: Branch, segment: str) -> Branch:
    if not segment.startswith("{"):
        return branch.literals.setdefault(segment, Branch())
    name, _, ending = segment[1:].partition("}")
    if ending:
        for known_name, known_ending, child in branch.endings:
            if (known_name, known_ending) == (name, ending):
                return child
        branch.endings.append((name, ending, Branch()))
        return branch.endings[-1][2]
    if branch.value is None:
        branch.value = (name, Branch())
    if branch.value[0] != name:
        raise ValueError(f"one path names its value {branch.value[0]!r} and {name!r}")
    return branch.value[1]


def _descend(
    branch: Branch, segments: list[str], method: str | None, values: dict[str, str], depth: int = 0
) -> Branch | None:
    if depth == len(segments):
        return branch if (method in branch.routes if method is not None else branch.routes) else None
    segment = segments[depth]
    if segment in branch.literals:
        found = _descend(branch.literals[segment], segments, method, values, depth + 1)
        if found is not None:
            return found
    for name, ending, child in branch.endings:
        if segment.endswith(ending) and len(segment) > len(ending):
            found = _descend(child, segments, method, values, depth + 1)
            if found is not None:
                values[name] = segment[: -len(ending)]
                return found
    if branch.value is not None and segment:
        name, child = branch.value
        found = _descend(child, segments, method, values, depth + 1)
        if found is not None:
            values[name] = segment
            return found
    return None
