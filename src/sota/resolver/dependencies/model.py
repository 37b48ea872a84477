"""The graph of dependencies, and what it means for one vehicle.

Rules kept here:

* a package needs others at a minimum version; versions are compared as numbers (1.10.0 is later than 1.9.0);
* a missing dependency is met by the highest registered version that satisfies it; it is installed before the packages
  that need it, and the package itself comes last;
* a vehicle is excluded, with the reason, if a dependency is not registered, or if the update would break a dependency
  of an installed package;
* a cycle is refused when it is declared; should one exist nevertheless, the vehicle is excluded.

>>> ivi, tls = Package("ivi", "2.0.0"), Package("libtls", "1.4.0")
>>> graph = DependencyGraph({ivi: [Minimum("libtls", "1.2.0")], tls: []})
>>> [package.text for package in graph.plan(ivi, [Package("libtls", "1.1.9")]).packages]
['libtls/1.4.0', 'ivi/2.0.0']
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sota.boundaries.values import PackageId

MAX_DEPENDENCIES = 100
VersionKey = tuple[int, int, int]


class Package(NamedTuple):
    """A package by name and version; a foreign one may have any version text."""

    name: str
    version: str

    @property
    def text(self) -> str:
        """Name and version: ``ivi/2.1.0``."""
        return f"{self.name}/{self.version}"


class Minimum(NamedTuple):
    """A dependency: a package of this name, at this version or a later one."""

    name: str
    version: str

    def accepts(self, version: str) -> bool:
        """Return whether a version satisfies it. One that is not ``major.minor.patch`` does not."""
        own, least = version_key(version), version_key(self.version)
        return own is not None and least is not None and own >= least


def to_package_id(one: Package | Minimum) -> PackageId:
    """Write a package, or the least one that satisfies a dependency."""
    return PackageId(name=one.name, version=one.version)


@dataclass(frozen=True, slots=True)
class Planned:
    """What the vehicle must get, in the order of installation."""

    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why the vehicle gets nothing: a stable code and a sentence."""

    code: str
    reason: str


Plan = Planned | LeftOut


@lru_cache(maxsize=65_536)
def version_key(version: str) -> VersionKey | None:
    """Parse ``major.minor.patch`` for comparison; None if it has another form."""
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


class DependencyGraph:
    """All registered packages and their dependencies."""

    def __init__(self, needs: Mapping[Package, Sequence[Minimum]]) -> None:
        self._needs = needs
        self._versions: dict[str, list[Package]] = defaultdict(list)
        for package in sorted(needs, key=lambda package: version_key(package.version) or (-1, -1, -1)):
            self._versions[package.name].append(package)

    def with_package(self, package: Package, needs: Sequence[Minimum]) -> DependencyGraph:
        """Return the graph with one more package."""
        return DependencyGraph({**self._needs, package: needs})

    def find_cycle(self, start: Package) -> tuple[Package, ...] | None:
        """Find a path from a package back to itself, over any registered version that satisfies a dependency."""
        came_from: dict[Package, Package] = {}
        waiting = [start]
        while waiting:
            current = waiting.pop()
            for following in self._satisfying(current):
                if following == start:
                    return self._way_back(start, current, came_from)
                if following not in came_from:
                    came_from[following] = current
                    waiting.append(following)
        return None

    def reachable(self, package: Package) -> frozenset[Package]:
        """Return the package and every registered one that a plan for it may include."""
        reached, waiting = {package}, [package]
        while waiting:
            for following in self._satisfying(waiting.pop()):
                if following not in reached:
                    reached.add(following)
                    waiting.append(following)
        return frozenset(reached)

    def names_of_interest(self, package: Package) -> frozenset[str]:
        """Return the names of all packages whose presence in a vehicle can change the plan."""
        reached = self.reachable(package)
        names = {one.name for one in reached} | {need.name for one in reached for need in self._needs.get(one, ())}
        dependants = {one.name for one, needs in self._needs.items() if any(need.name in names for need in needs)}
        return frozenset(names | dependants)

    def edges_of_interest(self, package: Package) -> list[tuple[Package, Sequence[Minimum]]]:
        """Return the dependencies that can change the plan: of packages it may include, and of those it may break."""
        return self.edges_about(self.names_of_interest(package))

    def edges_about(self, names: Collection[str]) -> list[tuple[Package, Sequence[Minimum]]]:
        """Return the dependencies of all packages with these names."""
        return sorted((one, needs) for one, needs in self._needs.items() if needs and one.name in names)

    def needs_of(self, package: Package) -> Sequence[Minimum]:
        """Return a package's direct dependencies."""
        return self._needs.get(package, ())

    def alike(self) -> Callable[[Package], Package | None]:
        """Distinguish installed packages only if some plan does, so that many vehicles can share one plan.

        The function maps a package to one that stands for it in every plan, or to None if it changes no plan. Only
        minimum versions are compared with installed ones, so versions between the same two minimums are equivalent,
        unless a package of their name has dependencies itself.
        """
        minimums: dict[str, list[Minimum]] = defaultdict(list)
        for needs in self._needs.values():
            for need in needs:
                minimums[need.name].append(need)
        needing = {package.name for package, needs in self._needs.items() if needs}
        first_of: dict[tuple[str, frozenset[Minimum]], Package] = {}

        def stand_in(package: Package) -> Package | None:
            if self._needs.get(package):
                return package
            satisfied = frozenset(need for need in minimums.get(package.name, ()) if need.accepts(package.version))
            if not satisfied:
                return None
            return package if package.name in needing else first_of.setdefault((package.name, satisfied), package)

        return stand_in

    def plan(self, package: Package, installed: Iterable[Package]) -> Plan:
        """Plan the update of a vehicle with these installed packages."""
        return _Planner(self._needs, self._versions, installed).plan(package)

    def _satisfying(self, package: Package) -> Iterable[Package]:
        for need in self._needs.get(package, ()):
            yield from (one for one in self._versions.get(need.name, ()) if need.accepts(one.version))

    @staticmethod
    def _way_back(start: Package, last: Package, came_from: Mapping[Package, Package]) -> tuple[Package, ...]:
        way = [start]
        while last != start:
            way.append(last)
            last = came_from[last]
        return (start, *reversed(way))


class _Planner:
    """One vehicle's plan while it is made: ``chosen`` maps names to the packages of the update."""

    def __init__(
        self,
        needs: Mapping[Package, Sequence[Minimum]],
        versions: Mapping[str, Sequence[Package]],
        installed: Iterable[Package],
    ) -> None:
        self._needs, self._versions = needs, versions
        self._installed: dict[str, list[Package]] = defaultdict(list)
        for package in installed:
            self._installed[package.name].append(package)
        self._chosen: dict[str, Package] = {}

    def plan(self, package: Package) -> Plan:
        self._chosen[package.name] = package
        order: list[Package] = []
        begun: set[Package] = set()
        ended: set[Package] = set()
        # Depth first without recursion, since a chain may be long: a package ends after all its dependencies.
        waiting: list[tuple[Package, bool]] = [(package, False)]
        while waiting:
            current, is_ending = waiting.pop()
            if is_ending:
                ended.add(current)
                order.append(current)
                continue
            if current in begun:
                continue
            begun.add(current)
            waiting.append((current, True))
            for need in reversed(self._needs.get(current, ())):
                provider = self._provide(current, need)
                if isinstance(provider, LeftOut):
                    return provider
                if provider in begun and provider not in ended:
                    return LeftOut("cycle", f"{current.text} needs {provider.text}, which needs it in turn")
                waiting.append((provider, False))
        brought = tuple(one for one in order if self._chosen.get(one.name) == one)
        return self._find_broken() or Planned(brought)

    def _provide(self, current: Package, need: Minimum) -> Package | LeftOut:
        """Find what satisfies a dependency: a package of the update, an installed one, or the newest registered."""
        wanted = f"{current.text} needs {need.name} {need.version} or later"
        if need.name in self._chosen:
            chosen = self._chosen[need.name]
            if need.accepts(chosen.version):
                return chosen
            return LeftOut("dependency_conflict", f"{wanted}, but the update brings {chosen.text}")
        present = [one for one in self._installed.get(need.name, ()) if need.accepts(one.version)]
        if present:
            return present[0]
        registered = self._versions.get(need.name, ())
        if not registered or not need.accepts(registered[-1].version):  # sorted: if the last does not …
            return LeftOut("dependency_missing", f"{wanted}, which is not registered")
        self._chosen[need.name] = registered[-1]
        return registered[-1]

    def _find_broken(self) -> LeftOut | None:
        """Find an installed package that stays and would lose a dependency that it has now."""
        for packages in self._installed.values():
            for package in packages:
                if package.name in self._chosen:
                    continue
                for need in self._needs.get(package, ()):
                    brought = self._chosen.get(need.name)
                    if brought is None or need.accepts(brought.version):
                        continue
                    if any(need.accepts(one.version) for one in self._installed.get(need.name, ())):
                        return LeftOut(
                            "would_break",
                            f"the installed {package.text} needs {need.name} {need.version} or later, "
                            f"and the update brings {brought.text}",
                        )
        return None


def check_declaration(package: Package, needs: Collection[Minimum]) -> str | None:
    """Return what is wrong with a declaration in isolation, or None."""
    if len(needs) > MAX_DEPENDENCIES:
        return f"{package.text} has {len(needs)} dependencies, {MAX_DEPENDENCIES} are allowed"
    names = [need.name for need in needs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f"{package.text} names {twice} twice among its dependencies"
    if package.name in names:
        return f"{package.text} cannot depend on another version of itself"
    return None
