"""``sota demo``: the product's main job, with real packages, from an operator to five vehicles and back.

``packages.py`` builds the packages, ``cars.py`` defines the vehicles, ``processes.py`` runs the programs,
``scenario.py`` runs the steps, ``screen.py`` shows them.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import Parameter
from rich.console import Console

from sota.boundaries.authority import Authority
from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b12_logistics_core.client import LogisticsClient
from sota.boundaries.package_signature import make_key_pair
from sota.cli.demo.cars import CARS, FILTER, furnish
from sota.cli.demo.packages import make_packages
from sota.cli.demo.processes import Processes, free_ports, processes
from sota.cli.demo.scenario import Scenario
from sota.cli.demo.screen import Row, Screen, as_document
from sota.cli.schemas import create_schemas, drop_schemas, names_of, with_new_names
from sota.cli.up import DATABASE_VARIABLE
from sota.kit.errors import StartError
from sota.kit.files.durable import write_atomic
from sota.kit.http.client import HttpClient
from sota.kit.runtime.logging import configure
from sota.kit.runtime.settings import read_secret


def demo(
    *,
    once: Annotated[bool, Parameter(negative=())] = False,
    json: Path | None = None,
    database: Annotated[str | None, Parameter(env_var="SOTA_DEMO_DATABASE")] = None,
    keep: Path | None = None,
) -> None:
    """Run the whole system with real packages.

    Builds three Debian packages (an application at two versions, a library that the second needs), starts the backend
    and five vehicles, uploads, filters, queues, and shows the update reaching the three vehicles that need it. Then it
    keeps running, with the address and sign-in of the console, until Ctrl-C.

    Parameters
    ----------
    once
        End when the update is done instead of keeping the system running; exit code 1 if any result is wrong.
    json
        Write the final table to this file.
    database
        Address of a MariaDB server (mysql://user:password@host:3306) instead of the embedded databases. The user must
        be allowed to create and drop schemas: the demo creates three, and touches no others. Set it in the environment
        variable to keep the password private.
    keep
        Work in this folder (it must be empty) and keep it, with the schemas; the default is to remove everything.
    """
    configure("warning")
    server = with_new_names(database, "sota_demo") if database is not None else None
    folder, made = _folder(keep), None
    try:
        if server is not None:
            uvloop.run(create_schemas(server))
            made = server
        right = uvloop.run(_run(folder, once=once, keeps=keep is not None, json_file=json, server=server))
    finally:
        if keep is None:
            _remove(folder, made)
    if not right:
        raise StartError("the demo did not end as it should: see the table above", exit_code=1)


def _remove(folder: Path, server: str | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if server is None:
        return
    try:
        uvloop.run(drop_schemas(server))
    except StartError as error:  # the first error is the one to report
        print(f"sota: {error.detail}", file=sys.stderr)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="sota-demo-"))
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise StartError(f"{keep} is not empty: name another folder")
    return keep.resolve()


async def _run(folder: Path, *, once: bool, keeps: bool, json_file: Path | None, server: str | None) -> bool:
    began = time.monotonic()
    screen = Screen(Console())
    async with processes(folder / "logs") as running:
        ready, ports = await _start_backend(folder, running, screen, server)
        rows, right = await _tell_story(folder, running, screen, ready, ports)
        screen.finish(rows)
        if json_file is not None:
            write_atomic(
                json_file, msgspec.json.encode(as_document(rows, seconds=time.monotonic() - began)), mode=0o644
            )
        if not once:
            screen.step(f"Console: [bold]{ready['console']}[/bold]   sign in as {ready['user']} / {ready['password']}")
            screen.step("That password is for the first sign-in: the console then lets you choose your own.")
            screen.step(f"Everything keeps running. Ctrl-C ends it; what it made is {'kept' if keeps else 'removed'}.")
            await _until_interrupted(running)
        return right


async def _start_backend(
    folder: Path, running: Processes, screen: Screen, server: str | None
) -> tuple[dict[str, object], dict[str, int]]:
    screen.step("Starting the backend: Web Server, SOTA Core, External Resolver, RVI Node Server")
    names = ("http", "https", "core", "resolver", "edge", "link", "operation")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    if server is not None:
        screen.step(f"… on MariaDB, in new schemas: {', '.join(names_of(server))}")
    ready = await running.start(
        "backend",
        "up",
        "--json-ready",
        "--data",
        str(folder / "backend"),
        *options,
        read_ready=True,
        environment={DATABASE_VARIABLE: server} if server is not None else None,
    )
    return ready, ports


async def _tell_story(
    folder: Path, running: Processes, screen: Screen, ready: dict[str, object], ports: dict[str, int]
) -> tuple[list[Row], bool]:
    screen.step("Making packages: navigation 1.0.0 and 2.0.0, and libroute 1.4.0, which 2.0.0 needs")
    packages = await asyncio.to_thread(make_packages, folder)
    key = make_key_pair(folder / "keys")
    scenario = Scenario(folder, running, screen, packages)
    authority = Authority.open(folder / "backend" / "authority")
    secret = read_secret(folder / "backend" / "secrets" / "logistics.token", "logistics token")
    core = HttpClient(f"http://127.0.0.1:{ports['core']}", secret)
    web_http = HttpClient(f"http://127.0.0.1:{ports['http']}", str(ready["token"]))
    web = WebClient(web_http)
    try:
        screen.step(f"Five vehicles, each with its own package database; {CARS[2].vin} is offline")
        for car in CARS:
            await furnish(car, scenario.root(car), packages)
            await asyncio.to_thread(authority.issue_vehicle, car.vin, folder / "vehicles" / car.vin / "identity")
        await scenario.register(LogisticsClient(core))
        for car in CARS:
            if not car.connects_late:
                await scenario.start_vehicle(car, ports["link"])
        screen.step("Uploading the packages, signed")
        await scenario.upload(web, key)
        screen.step(f"Filter: {FILTER}")
        request_id = await scenario.queue(web)
        screen.step(f"Queued navigation/2.0.0; Install Request ID {request_id}")
        updates = await scenario.watch(web, request_id, ports["link"])
        rows = await scenario.verify(web, updates)
        return rows, scenario.is_right(rows)
    finally:
        await core.close()
        await web_http.close()


async def _until_interrupted(running: Processes) -> None:
    try:
        while True:
            running.check()
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        return
