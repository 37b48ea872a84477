"""What a vehicle gets, in the plainest form: for one vehicle at a time, by recursion, over plain dicts.

Whatever plans for many vehicles at once is held against it. Only the words of a refusal are taken from the Resolver.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from sota.resolver.dependencies.model import LeftOut, Minimum, Package, Plan, Planned

Needs = Mapping[Package, Sequence[Minimum]]


class Refusal(Exception):
    """The vehicle gets nothing."""


def naive_plan(needs: Needs, wanted: Package, installed: Collection[Package]) -> Plan:
    """Work out what a vehicle must get."""
    brought: dict[str, Package] = {wanted.name: wanted}
    order: list[Package] = []
    try:
        bring(wanted, needs, sorted(installed), brought, order, [])
    except Refusal as refusal:
        return LeftOut(*refusal.args)
    for one in sorted(installed):
        if one.name in brought:
            continue
        for need in needs.get(one, ()):
            other = brought.get(need.name)
            had = [its for its in installed if its.name == need.name and enough(its.version, need.version)]
            if other is not None and had and not enough(other.version, need.version):
                loses = f"the installed {one.text} needs {need.name} {need.version} or later"
                return LeftOut("would_break", f"{loses}, and the update brings {other.text}")
    return Planned(tuple(one for one in order if brought.get(one.name) == one))


def bring(
    package: Package,
    needs: Needs,
    installed: Sequence[Package],
    brought: dict[str, Package],
    order: list[Package],
    way: list[Package],
) -> None:
    """Add what a package needs, and then the package."""
    way = [*way, package]
    providers: list[Package] = []
    for need in reversed(needs.get(package, ())):
        provider = provide(package, need, needs, installed, brought)
        if provider in way:
            raise Refusal("cycle", f"{package.text} needs {provider.text}, which needs it in turn")
        providers.insert(0, provider)
    for provider in providers:
        if provider not in order:
            bring(provider, needs, installed, brought, order, way)
    order.append(package)


def provide(
    package: Package, need: Minimum, needs: Needs, installed: Sequence[Package], brought: dict[str, Package]
) -> Package:
    """Find what satisfies a need: brought anyway, there already, or the newest that is registered."""
    wanted = f"{package.text} needs {need.name} {need.version} or later"
    if need.name in brought:
        if enough(brought[need.name].version, need.version):
            return brought[need.name]
        raise Refusal("dependency_conflict", f"{wanted}, but the update brings {brought[need.name].text}")
    for one in installed:
        if one.name == need.name and enough(one.version, need.version):
            return one
    fit = [one for one in needs if one.name == need.name and enough(one.version, need.version)]
    if not fit:
        raise Refusal("dependency_missing", f"{wanted}, which is not registered")
    brought[need.name] = max(fit, key=lambda one: numbers(one.version))
    return brought[need.name]


def enough(version: str, least: str) -> bool:
    """Report whether a version is the least one or later; a foreign one never is."""
    return re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) is not None and numbers(version) >= numbers(least)


def numbers(version: str) -> list[int]:
    """Read the three numbers of a version."""
    return [int(part) for part in version.split(".")]
