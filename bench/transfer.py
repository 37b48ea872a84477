"""Transfers: Core, its database and one node send blocks to 500 vehicles, which are one process; all on two cores.

The programs are the real ones, as processes: Core reads a package from a folder, and sends each vehicle its blocks of
100,000 bytes over its node's HTTP edge; the node passes them on over mutual TLS in msgpack, as to any vehicle. The
vehicles (``transfer_sink.py``) acknowledge at once and write nothing. ``blocks_per_s`` counts different blocks, from
the first that arrives to the last.

The baseline (``transfer_chain.py``), in the same run, is a chain of bare uvloop protocols that pass the same bytes from
the file through two processes to a sink: a block's message over TCP, then over TLS to one of 500 connections, and an
acknowledgement's bytes back. ``plain_chain_blocks_per_s`` is the same chain without TLS.

``SCALE=50 make bench ONLY=transfer`` takes fewer vehicles, for a quick look; its result is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from bench.processes import SOTA, BenchmarkError, free_ports, get, processor_s, running, wait_until
from bench.report import Measurement
from bench.transfer_chain import WIRE_BYTES
from bench.transfer_sink import BEGUN
from sota.boundaries.authority import Authority, Grant
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.boundaries.services import BACKEND_SERVICES
from sota.core import tables
from sota.kit.files.durable import write_atomic
from sota.kit.runtime.clock import new_id
from sota.kit.sql import migrations
from sota.kit.sql.database import Database, Tx
from tests.support.databases import running_mariadb

VEHICLES = 500
BLOCKS = 60
ROUNDS = 5
BLOCK_BYTES = 100_000
LIMIT_PER_S, LIMIT_RATIO = 800.0, 0.4
TRANSFER_LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Transferred:
    """One run: blocks a second, what the programs spent on a block in µs, and how many blocks came twice."""

    rate: float
    core_us: float
    node_us: float
    sink_us: float
    repeated: int


def measure() -> Measurement:
    """Transfer on SQLite and on MariaDB, with the chain between them.

    Raises:
        BenchmarkError: a program did not start, or the blocks did not arrive in four minutes.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    sqlite, maria, chains, plain = [], [], [], []
    with tempfile.TemporaryDirectory() as name, running_mariadb() as server:
        folder = Path(name)
        identities = _identities(folder, vehicles)
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            run = folder / str(number)
            chains.append(_chain(run / "chain", folder, vehicles, tls=True))
            sqlite.append(_transfer(run / "sqlite", identities, f"sqlite:///{run}/core.db", vehicles))
            plain.append(_chain(run / "plain", folder, vehicles, tls=False))
            maria.append(_transfer(run / "mariadb", identities, server.new_schema(), vehicles))
    return _summary(sqlite, maria, chains, plain, kept=vehicles >= VEHICLES)


def once(folder: Path, vehicles: int) -> Transferred:
    """Transfer once, on SQLite: what ``bench/fleet.py`` compares itself with.

    Raises:
        BenchmarkError: a program did not start, or the blocks did not arrive in four minutes.
    """
    identities = _identities(folder, vehicles)
    return _transfer(folder / "run", identities, f"sqlite:///{folder}/run/core.db", vehicles)


def _summary(
    sqlite: list[Transferred], maria: list[Transferred], chains: list[float], plain: list[float], *, kept: bool
) -> Measurement:
    median = statistics.median
    rate = median(one.rate for one in sqlite)
    figures = {
        "blocks_per_s": rate,
        "mariadb_blocks_per_s": median(one.rate for one in maria),
        "bare_chain_blocks_per_s": median(chains),
        "plain_chain_blocks_per_s": median(plain),
        "core_us_per_block": median(one.core_us for one in sqlite),
        "node_us_per_block": median(one.node_us for one in sqlite),
        "vehicles_us_per_block": median(one.sink_us for one in sqlite),
        "blocks_repeated": float(sum(one.repeated for one in (*sqlite, *maria))),
    }
    ratio = median(one.rate / chain for one, chain in zip(sqlite, chains, strict=True))
    notes = (
        f"blocks_per_s at least {LIMIT_PER_S:g}: {_kept(rate >= LIMIT_PER_S)}; "
        f"ratio_to_bare_chain at least {LIMIT_RATIO:g}: {_kept(ratio >= LIMIT_RATIO)}.",
        "The bare chain passes a block's message over TCP and then over TLS to the sink, and an acknowledgement back.",
        "us_per_block: processor time of each program for one block, from the vehicles' asking for their update.",
    )
    maria_ratio = median(one.rate / chain for one, chain in zip(maria, chains, strict=True))
    return Measurement(figures, {"ratio_to_bare_chain": ratio, "mariadb_ratio": maria_ratio}, notes, kept)


def _transfer(folder: Path, identities: Path, database: str, vehicles: int) -> Transferred:
    folder.mkdir(parents=True)
    content = os.urandom(BLOCKS * BLOCK_BYTES)
    (folder / "packages").mkdir()
    (folder / "packages" / "bench").write_bytes(content)
    asyncio.run(_seed(database, [_vin(number) for number in range(vehicles)], content))
    edge, link, core, node_op, core_op = free_ports(5)
    with contextlib.ExitStack() as stack:
        node = _start(stack, folder, "rvi-node", node_op, {
            "edge_port": edge, "tls_port": link, "identity": identities / "backend", "data": folder / "node",
        })  # fmt: skip
        wait_until("the node answers", lambda: get(node_op, "/readyz")[0] == 200, node, folder / "rvi-node.log")
        issue(folder / "core.toml", str(Program.WEB_SERVER))
        (folder / "resolver.token").write_text(issue(folder / "resolver.toml", str(Program.SOTA_CORE)))
        program = _start(stack, folder, "core", core_op, {
            "port": core, "data": folder / "core", "database": database, "credentials_file": folder / "core.toml",
            "repository": folder / "packages", "resolver_url": f"http://127.0.0.1:{free_ports(1)[0]}",
            "resolver_token_file": folder / "resolver.token", "node_url": f"http://127.0.0.1:{edge}",
            "block_size": BLOCK_BYTES,
        })  # fmt: skip
        wait_until("Core is ready", lambda: get(core_op, "/readyz")[0] == 200, program, folder / "core.log")
        sink, told = _sink(stack, folder, link, identities / "vehicles")
        wait_until("all are notified", lambda: BEGUN.encode() in told.read_bytes(), sink, told)
        before = [processor_s(one.pid) for one in (program, node, sink)]
        result = _result(told, sink, folder / "sink.log")
        spent = [processor_s(one.pid) - was for one, was in zip((program, node, sink), before, strict=True)]
    core_us, node_us, sink_us = (value * 1e6 / result["blocks"] for value in spent)
    return Transferred(
        result["blocks"] / result["seconds"], core_us, node_us, sink_us, repeated=int(result["repeated"])
    )


def _sink(
    stack: contextlib.ExitStack, folder: Path, link: int, identities: Path
) -> tuple[subprocess.Popen[bytes], Path]:
    command = (sys.executable, "-m", "bench.transfer_sink", str(link), str(identities), str(BLOCKS))
    log = folder / "sink.log"
    return stack.enter_context(running(command, log)), log


def _result(told: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, float]:
    deadline = time.monotonic() + TRANSFER_LIMIT_S
    while b"}\n" not in told.read_bytes():
        if process.poll() not in (None, 0) or time.monotonic() > deadline:
            raise BenchmarkError(f"the blocks did not arrive\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    found: dict[str, float] = json.loads(told.read_text().splitlines()[-1])
    return found


def _chain(folder: Path, identities: Path, vehicles: int, *, tls: bool) -> float:
    folder.mkdir(parents=True)
    file = folder / "blocks"
    file.write_bytes(os.urandom(BLOCKS * WIRE_BYTES))
    relay, sink = free_ports(2)
    module = (sys.executable, "-m", "bench.transfer_chain")
    with contextlib.ExitStack() as stack:
        server = str(identities / "backend") if tls else "-"
        client = str(identities / "vehicles") if tls else "-"
        taking = stack.enter_context(running((*module, "sink", str(sink), server), folder / "sink.log"))
        wait_until("the sink listens", lambda: _listens(sink), taking, folder / "sink.log")
        with _environment(STREAMS=str(vehicles)):
            passing = stack.enter_context(
                running((*module, "relay", str(relay), str(sink), client), folder / "relay.log")
            )
        wait_until("the relay listens", lambda: _listens(relay), passing, folder / "relay.log")
        command = (*module, "source", str(relay), str(vehicles), str(BLOCKS), str(file))
        log = folder / "source.log"
        result = _result(log, stack.enter_context(running(command, log)), log)
    return result["blocks"] / result["seconds"]


def _listens(port: int) -> bool:
    """Look whether a port is listened on, without connecting: a stream would be taken for one of the sources."""
    wanted = f"0100007F:{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(fields[1] == wanted and fields[3] == "0A" for fields in lines)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


def _start(
    stack: contextlib.ExitStack, folder: Path, program: str, operation: int, settings: dict[str, object]
) -> subprocess.Popen[bytes]:
    pairs = {"log_level": "error", "operation_port": operation, **settings}
    options = (part for name, value in pairs.items() for part in ("--set", f"{name}={value}"))
    return stack.enter_context(running((*SOTA, program, *options), folder / f"{program}.log"))


def _identities(folder: Path, vehicles: int) -> Path:
    """Make the backend's identity, and one certificate with a credential for each vehicle."""
    authority = Authority.create()
    authority.issue_backend(folder / "backend")
    target = folder / "vehicles"
    target.mkdir()
    services = [f"genivi.org/backend/sota/{name}" for name in BACKEND_SERVICES]
    authority.issue(target, "bench", receive=["genivi.org/vin/"], invoke=services)
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate((target / "device.pem").read_bytes())
    now = datetime.now(UTC)
    lines = []
    for number in range(vehicles):
        vin = _vin(number)
        grant = Grant(vin, [f"genivi.org/vin/{vin}/"], ["genivi.org/backend/"], now - timedelta(1), now + timedelta(1))
        lines.append(f"{vin} {authority.sign_credential(grant, certificate)}")
    write_atomic(target / "tokens", "\n".join(lines).encode())
    return folder


def _vin(number: int) -> str:
    return f"BENCH{number:012}"


async def _seed(url: str, vins: list[str], content: bytes) -> None:
    """Register vehicles and a package, and queue it for all of them."""
    database = Database(url)
    try:
        await migrations.upgrade(database, "sota.core.migrations")
        await database.transact(lambda tx: _insert(tx, vins, content))
    finally:
        await database.close()


async def _insert(tx: Tx, vins: list[str], content: bytes) -> None:
    now = datetime.now(UTC)
    name = {"package_name": "bench", "package_version": "1.0.0"}
    interval = {"start_at": now - timedelta(hours=1), "end_at": now + timedelta(hours=12), "created_at": now}
    package = {
        "name": "bench", "version": "1.0.0", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "sha1": "0" * 40, "uri": "bench", "installer": "deb", "description": "", "vendor": "", "created_at": now,
    }  # fmt: skip
    request = {
        "id": new_id(), "position": 0, "kind": "request", "priority": 10, "request_confirmation": False,
        "command": "install", "allow_downgrade": False, "left_out": 0, **name, **interval,
    }  # fmt: skip
    updates = [
        {
            "update_id": new_id(), "request_id": request["id"], "position": 0, "vin": vin, "size": len(content),
            "status": "pending", "priority": 10, "changed_at": now, "next_try_at": now, "set_number": 0, **name,
            **interval,
        }
        for vin in vins
    ]  # fmt: skip
    whole = {
        "request_id": request["id"], "position": 0, "set_number": 0, "place": 0, "size": len(content), **name,
    }  # fmt: skip
    vehicles = [{"vin": vin, "created_at": now} for vin in vins]
    batches: list[tuple[sa.Table, list[dict[str, object]]]] = [
        (tables.vehicle, vehicles), (tables.package, [package]), (tables.install_request, [request]),
        (tables.package_set, [whole]), (tables.update, updates),
    ]  # fmt: skip
    for table, rows in batches:
        await tx.execute(table.insert(), rows)


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT kept"
