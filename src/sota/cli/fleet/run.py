"""Runs ``sota fleet``: enrols and registers the vehicles, runs them, watches, sums up."""

from __future__ import annotations

import asyncio

import msgspec

from sota.cli.fleet.order import Order
from sota.cli.fleet.screen import Screen
from sota.cli.fleet.summary import is_as_wanted, summary
from sota.cli.launch import launch
from sota.fleet.enrolment import issue_identities, register
from sota.fleet.fleet import Fleet, FleetPlan
from sota.fleet.profile import Profile
from sota.kit.errors import StartError
from sota.kit.files import durable
from sota.kit.files.data_folder import Claim, claimed
from sota.kit.runtime.settings import read_secret

LOOK_S = 0.25


def run_fleet(vehicles: int, order: Order) -> bool:
    """Run the fleet until a signal, or, with ``once``, until all updates ended; return whether they ended as expected.

    Raises:
        StartError: something is missing or unusable.
    """
    with claimed(Claim(order.data, "fleet", own=("*",))):
        return _run(vehicles, order)


def _run(vehicles: int, order: Order) -> bool:
    if not order.fsync:
        durable.relax()
    plan = FleetPlan(
        vehicles=vehicles,
        backend=order.backend,
        folder=order.data,
        seed=order.seed,
        profile=Profile.read(order.profile) if order.profile else Profile(),
        keys=order.keys,
        allow_unsigned=order.allow_unsigned,
        installed=_read_installed(order.installed),
    )
    fleet = Fleet(plan)
    screen = Screen(f"{vehicles} simulated vehicles, seed {order.seed}")
    _enrol(order, plan, screen)
    endings: list[bool] = []

    async def watch() -> None:
        endings.append(await _watch(fleet, order, screen))

    launch(lambda: [fleet], log_level=order.log_level, when_ready=watch)
    return all(endings)


def _enrol(order: Order, plan: FleetPlan, screen: Screen) -> None:
    screen.say(f"{plan.vehicles} vehicles, {plan.vins[0]} to {plan.vins[-1]}, in {plan.folder}")
    if not order.fsync:
        screen.say("Without fsync: the disk is not waited for, as real vehicles do.")
    issued = issue_identities(order.backend_data / "authority", plan.vins, plan.identities)
    if issued:
        screen.say(f"{issued} identities issued by the authority in {order.backend_data / 'authority'}")
    if order.register:
        token = read_secret(order.backend_data / "secrets" / "logistics.token", "logistics token")
        asyncio.run(register(order.core, token, plan.vins, plan.installed))
        screen.say(f"Registered at {order.core}")


async def _watch(fleet: Fleet, order: Order, screen: Screen) -> bool:
    deadline = asyncio.get_running_loop().time() + order.timeout
    with screen.live():
        while True:
            now = fleet.counts.snapshot()
            screen.show(now)
            is_over = now.over >= fleet.expected
            if order.once and (is_over or asyncio.get_running_loop().time() > deadline):
                break
            await asyncio.sleep(LOOK_S)
    print(msgspec.json.format(msgspec.json.encode(summary(now, fleet, is_over=is_over))).decode(), flush=True)
    return is_over and is_as_wanted(now, fleet.plan.profile)


def _read_installed(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("/") for text in texts]
    for name, slash, version in pairs:
        if not (name and slash and version):
            raise StartError(f"--installed {name}{slash}{version}: write name/version")
    return {name: version for name, _, version in pairs}
