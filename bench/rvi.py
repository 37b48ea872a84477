"""How fast messages cross two RVI nodes: backend's service, its node, a vehicle's node, the vehicle's service.

Four processes share the cores. 8 clients send to 8 services, as a real rvi_core pair was measured; the link is TLS with
msgpack. Over HTTP each client waits for the answer to one message before it sends the next, over WebSocket 64 of its
messages may be without one. The round trip is one message there and one back, over HTTP, one at a time. Large messages
are of 100 kB, over HTTP; all of them fit into the backend node's memory, because how many of them the disk would take
is chance. ``us_per_message`` is the processor time of both nodes for one message.

The bare chain is four uvloop processes, too, that pass the same bytes and wait for the same answers with no HTTP, JSON,
TLS, rights or order in between. Rounds alternate between the nodes and the chain; medians over the rounds.

``SCALE=0.1 make bench ONLY=rvi`` sends a tenth, for a quick look; its result is not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import SOTA, STOP_S, BenchmarkError, free_ports, get, processor_s, running, wait_until
from bench.report import Measurement
from sota.boundaries.authority import Authority

VIN = "WVWZZZ1KZBENCH001"
PATH = "bench"
ROUNDS = 3
CLIENTS, WINDOW = 8, 64
SMALL, LARGE = 50, 100_000
HTTP_MESSAGES, WEBSOCKET_MESSAGES, LARGE_MESSAGES, PINGS = 12_000, 32_000, 2_400, 1_000
HTTP_LIMIT, WEBSOCKET_LIMIT, ROUND_TRIP_LIMIT_MS, LARGE_LIMIT_MB = 8_000, 16_000, 0.8, 120
SEND_QUEUE_BYTES = 1 << 30
WAIT_S = 60.0


class End:
    """One process of ``bench/rvi_ends.py``."""

    def __init__(self, stack: contextlib.ExitStack, log: Path) -> None:
        self._log = log
        command = (sys.executable, "-m", "bench.rvi_ends")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stack.enter_context(log.open("wb"))
        )
        self.pid = self._process.pid
        stack.callback(self._stop)

    def order(self, do: str, **order: Any) -> None:
        """Send it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Take its next line."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], WAIT_S)[0]:
            raise BenchmarkError(f"an end does not answer\n{self._log.read_text()[-2000:]}")
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"an end has ended\n{self._log.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Send it a command and wait until it is done."""
        self.order(do, **order)
        return self.answer()

    def _stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._process.kill()


@dataclass(frozen=True, slots=True)
class Way:
    """One way of four processes: where the sender sends to, who takes it, and what runs between."""

    sender: End
    receiver: End
    pids: tuple[int, ...]
    http_port: int = 0
    websocket_port: int = 0
    stream_port: int = 0


def measure() -> Measurement:
    """Start both ways and measure them in turns.

    Raises:
        BenchmarkError: a program did not start, or messages were lost.
    """
    scale = float(os.environ.get("SCALE", "1"))
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        nodes, chain = _nodes(stack, folder), _chain(stack, folder)
        rounds = [_round(nodes, chain, scale) for _ in range(ROUNDS)]
        trips = sorted(_round_trip_ms(nodes, scale, stack, folder) for _ in range(ROUNDS))
    figures = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    figures["round_trip_median_ms"] = statistics.median(trips)
    ratios = {
        "http_to_bare_chain": figures["http_messages_per_s"] / figures["chain_http_messages_per_s"],
        "websocket_to_bare_chain": figures["websocket_messages_per_s"] / figures["chain_stream_messages_per_s"],
        "large_to_bare_chain": figures["large_mb_per_s"] / figures["chain_large_mb_per_s"],
    }
    return Measurement(figures, ratios, _notes(figures), kept=scale >= 1)


def _notes(figures: dict[str, float]) -> tuple[str, ...]:
    limits = (
        ("http_messages_per_s", figures["http_messages_per_s"] >= HTTP_LIMIT, f"at least {HTTP_LIMIT:,}"),
        ("websocket_messages_per_s", figures["websocket_messages_per_s"] >= WEBSOCKET_LIMIT, f"{WEBSOCKET_LIMIT:,}"),
        ("round_trip_median_ms", figures["round_trip_median_ms"] < ROUND_TRIP_LIMIT_MS, f"under {ROUND_TRIP_LIMIT_MS}"),
        ("large_mb_per_s", figures["large_mb_per_s"] >= LARGE_LIMIT_MB, f"at least {LARGE_LIMIT_MB}"),
    )
    return tuple(f"{name}: limit {limit}, {'kept' if kept else 'NOT kept'}" for name, kept, limit in limits)


def _round(nodes: Way, chain: Way, scale: float) -> dict[str, float]:
    http, stream = int(HTTP_MESSAGES * scale), int(WEBSOCKET_MESSAGES * scale)
    large = int(LARGE_MESSAGES * scale)
    small_http = [_http_request(f"{PATH}/{number}", SMALL) for number in range(CLIENTS)]
    small_ws = [_websocket_request(f"{PATH}/w{number}", SMALL) for number in range(CLIENTS)]
    http_us: list[float] = []
    stream_us: list[float] = []
    large_us: list[float] = []
    big = [_http_request(f"{PATH}/{number}", LARGE) for number in range(CLIENTS)]
    found = {
        "chain_http_messages_per_s": _rate(chain, "plain", chain.http_port, _frames(small_http), http, 1),
        "http_messages_per_s": _rate(nodes, "http", nodes.http_port, small_http, http, 1, http_us),
        "chain_stream_messages_per_s": _rate(chain, "plain", chain.stream_port, _frames(small_ws), stream, WINDOW),
        "websocket_messages_per_s": _rate(
            nodes, "websocket", nodes.websocket_port, small_ws, stream, WINDOW, stream_us
        ),
        "chain_large_mb_per_s": _rate(chain, "plain", chain.http_port, _frames(big), large, 1) * LARGE / 1e6,
        "large_mb_per_s": _rate(nodes, "http", nodes.http_port, big, large, 1, large_us) * LARGE / 1e6,
    }
    found |= {
        "http_us_per_message": http_us[0],
        "websocket_us_per_message": stream_us[0],
        "large_us_per_message": large_us[0],
    }
    print("  ".join(f"{key} {value:,.0f}" for key, value in found.items()), flush=True)
    return found


def _rate(
    way: Way, kind: str, port: int, requests: list[str], count: int, window: int, spent_us: list[float] | None = None
) -> float:
    """Return messages a second; ``spent_us`` gets the processor time of the two nodes for each, in µs."""
    each = count // len(requests)
    before = {pid: processor_s(pid) for pid in way.pids}
    way.receiver.ask("expect", count=each * len(requests))
    began_at = way.sender.ask("send", kind=kind, port=port, requests=requests, each=each, window=window)["began_at"]
    took_s = float(way.receiver.answer()["received_at"]) - float(began_at)
    rate = each * len(requests) / took_s
    used = [(processor_s(pid) - before[pid]) / count * 1e6 for pid in way.pids]
    if spent_us is not None:
        spent_us.append(sum(used[1:3]))
    if os.environ.get("SHOW_CPU"):
        each_us = " ".join(f"{one:.0f}" for one in used)
        print(f"  {kind}: {rate:,.0f}/s, processor per message in µs: {each_us}", flush=True)
    return rate


def _round_trip_ms(nodes: Way, scale: float, stack: contextlib.ExitStack, folder: Path) -> float:
    del stack, folder
    answer = nodes.sender.ask("ping", port=nodes.http_port, request=_http_request(f"{PATH}/echo", SMALL),
                              count=int(PINGS * scale))  # fmt: skip
    return float(answer["median_ms"])


def _http_request(service: str, size: int, prefix: str = f"genivi.org/vin/{VIN}/") -> str:
    params = {"service_name": prefix + service, "timeout": int(time.time()) + 3600, "parameters": [{"m": _text(size)}]}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "message", "params": params})
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}"


def _websocket_request(service: str, size: int) -> str:
    params = {
        "service_name": f"genivi.org/vin/{VIN}/{service}",
        "timeout": int(time.time()) + 3600,
        "parameters": {"m": json.dumps(_text(size))},
    }
    return json.dumps({"json-rpc": "2.0", "id": "1", "method": "message", "params": params})


def _text(size: int) -> str:
    return "0123456789" * (size // 10)


def _frames(requests: list[str]) -> list[str]:
    """The same bytes as frames of the bare chain: the service is the client's number."""
    return [
        (len(request).to_bytes(4, "big") + bytes([number])).decode("latin-1") + request
        for number, request in enumerate(requests)
    ]


def _chain(stack: contextlib.ExitStack, folder: Path) -> Way:
    ends = [End(stack, folder / f"chain{number}.log") for number in range(4)]
    sender, first, second, receiver = ends
    sink = receiver.ask("listen", kind="plain")["port"]
    answered = second.ask("relay", ports=[sink] * CLIENTS, answered=True)["port"]
    stream = second.ask("relay", ports=[sink] * CLIENTS, answered=False)["port"]
    return Way(
        sender,
        receiver,
        tuple(end.pid for end in ends),
        http_port=first.ask("relay", ports=[answered], answered=False)["port"],
        stream_port=first.ask("relay", ports=[stream], answered=False)["port"],
    )


def _nodes(stack: contextlib.ExitStack, folder: Path) -> Way:
    authority = Authority.open(folder / "authority")
    authority.issue_backend(folder / "backend" / "identity")
    authority.issue_vehicle(VIN, folder / "vehicle" / "identity")
    edge, websocket, link, operation = free_ports(4)
    vehicle_edge, vehicle_websocket, vehicle_operation = free_ports(3)
    backend = {"edge_port": edge, "ws_port": websocket, "tls_port": link, "operation_port": operation,
               "send_queue": SEND_QUEUE_BYTES}  # fmt: skip
    vehicle = {
        "role": "client",
        "prefix": f"genivi.org/vin/{VIN}",
        "edge_port": vehicle_edge,
        "ws_port": vehicle_websocket,
        "tls_port": 0,
        "peers": f"tls://127.0.0.1:{link}",
        "operation_port": vehicle_operation,
    }
    pids = [_node(stack, folder, "backend", backend), _node(stack, folder, "vehicle", vehicle)]
    sender, receiver = End(stack, folder / "sender.log"), End(stack, folder / "receiver.log")
    service = receiver.ask("listen", kind="http")["port"]
    for number in range(CLIENTS):
        _register(vehicle_edge, f"{PATH}/{number}", service)
    echo = End(stack, folder / "echo.log")
    _register(vehicle_edge, f"{PATH}/echo", echo.ask("listen", kind="http")["port"])
    _register(edge, f"{PATH}/echo", sender.ask("listen", kind="http")["port"])
    back = _http_request(f"{PATH}/echo", SMALL, "genivi.org/backend/")
    echo.ask("echo", port=vehicle_edge, request=back)
    if vehicle_websocket:
        registrations = [
            json.dumps({"json-rpc": "2.0", "id": "1", "method": "register_service",
                        "params": {"service_name": f"{PATH}/w{number}"}})
            for number in range(CLIENTS)
        ]  # fmt: skip
        receiver.ask("hold", port=vehicle_websocket, requests=registrations)
    _wait_for_services(edge, 2 * CLIENTS + 2)
    return Way(sender, receiver, (sender.pid, *pids, receiver.pid), http_port=edge, websocket_port=websocket)


def _node(stack: contextlib.ExitStack, folder: Path, name: str, settings: Mapping[str, object]) -> int:
    home = folder / name
    common = {"identity": home / "identity", "data": home / "data", "extra_services": PATH, "log_level": "error"}
    pairs = {**common, **settings}
    command = (*SOTA, "rvi-node", *(part for key, value in pairs.items() for part in ("--set", f"{key}={value}")))
    log = folder / f"{name}.log"
    process = stack.enter_context(running(command, log))
    port = int(str(settings["operation_port"]))
    wait_until(f"{name}'s node is ready", lambda: get(port, "/readyz")[0] == 200, process, log)
    return process.pid


def _register(edge: int, service: str, port: int) -> None:
    params = {"service": f"/{service}", "network_address": f"http://127.0.0.1:{port}/callback"}
    if _call(edge, "register_service", params).get("status") != 0:
        raise BenchmarkError(f"{service} cannot be registered")


def _wait_for_services(edge: int, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(_call(edge, "get_available_services", {})["services"]) < count:
        if time.monotonic() > deadline:
            raise BenchmarkError("the vehicle's services are not announced")
        time.sleep(0.05)


def _call(edge: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", edge, timeout=10)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    if "result" not in answer:
        raise BenchmarkError(f"{method}: {answer}")
    result: dict[str, Any] = answer["result"]
    return result
