"""Fills Core's schema for the API benchmark, set by set on the server: no row passes through Python.

``vehicles`` of them are registered; three in ten have two packages of the twenty that are known; one in ten has an
update, of one of twenty install requests, nine of ten of them done. Updates that wait are for a far day, so that Core
leaves them alone. Everything is counted, so that :func:`vin` and its like name rows without asking.
"""

from __future__ import annotations

from uuid import UUID

from tests.support.databases import MariaDbServer

PACKAGES, REQUESTS = 20, 20
UPDATE_PREFIX, REQUEST_PREFIX = "019380000000700080000001", "019380000000700080000002"
CHUNK = 250_000


def vin(number: int) -> str:
    """Name a vehicle, from 1."""
    return f"BENCH{number:012}"


def package_name(number: int) -> str:
    """Name a package, from 1; its version is 1.0.0."""
    return f"package-{number:02}"


def update_id(number: int) -> UUID:
    """Return the id of the update of the vehicle with this number, from 1."""
    return UUID(f"{UPDATE_PREFIX}{number:08x}")


def request_id(number: int) -> UUID:
    """Return the id of an install request by its number, from 1."""
    return UUID(f"{REQUEST_PREFIX}{number:08x}")


def installed_of(number: int) -> list[str]:
    """Name the packages that are installed on a vehicle, if it has any."""
    return sorted(package_name((number + other) % PACKAGES + 1) for other in (0, 7))


def with_packages(vehicles: int) -> int:
    """Return how many vehicles have packages: the first ones."""
    return vehicles * 3 // 10


def with_updates(vehicles: int) -> int:
    """Return how many vehicles have an update: the first ones."""
    return vehicles // 10


def seed(server: MariaDbServer, schema: str, vehicles: int) -> None:
    """Fill an empty schema of Core's."""

    def run(*statements: str) -> None:
        server.execute(f"USE {schema}", "SET foreign_key_checks=0, unique_checks=0", *statements, "COMMIT")

    at = "'2026-01-01'"
    seq_vin = "CONCAT('BENCH', LPAD(v.seq, 12, '0'))"
    run(
        "INSERT INTO package (name, version, size, sha256, sha1, uri, installer, description, vendor, created_at) "
        f"SELECT {_package('seq')}, '1.0.0', 1048576, REPEAT('a', 64), REPEAT('b', 40), CONCAT('file-', seq), 'deb', "
        f"'What this package is for.', 'Vendor', {at} FROM seq_1_to_{PACKAGES}"
    )
    run(
        "INSERT INTO install_request (id, position, kind, package_name, package_version, priority, start_at, end_at, "
        "request_confirmation, command, allow_downgrade, left_out, created_at) "
        f"SELECT {_id(REQUEST_PREFIX, 'seq')}, 0, 'request', {_package('seq')}, '1.0.0', 10, {at}, '2100-01-01', "
        f"0, 'install', 0, 0, {at} FROM seq_1_to_{REQUESTS}"
    )
    run(
        "INSERT INTO package_set (request_id, position, set_number, place, package_name, package_version, size) "
        "SELECT id, 0, 0, 0, package_name, package_version, 1048576 FROM install_request"
    )
    for first, last in _chunks(vehicles):
        run(f"INSERT INTO vehicle (vin, created_at) SELECT {seq_vin}, {at} FROM seq_{first}_to_{last} v")
    for first, last in _chunks(with_packages(vehicles)):
        run(
            "INSERT INTO installed_package (vin, name, version, installed_at) "
            f"SELECT {seq_vin}, {_package(f'(v.seq + p.other) % {PACKAGES} + 1')}, '1.0.0', {at} "
            f"FROM seq_{first}_to_{last} v, (SELECT 0 AS other UNION SELECT 7) p"
        )
    for first, last in _chunks(with_updates(vehicles)):
        request = f"v.seq % {REQUESTS} + 1"
        is_done = "v.seq DIV 20 % 10 > 0"
        run(
            "INSERT INTO vehicle_update (update_id, request_id, position, vin, package_name, package_version, size, "
            "status, priority, start_at, end_at, created_at, changed_at, completed_at, next_try_at, set_number) "
            f"SELECT {_id(UPDATE_PREFIX, 'v.seq')}, {_id(REQUEST_PREFIX, request)}, 0, {seq_vin}, {_package(request)}, "
            f"'1.0.0', 1048576, IF({is_done}, 'installed', 'pending'), 10, IF({is_done}, {at}, '2099-01-01'), "
            f"'2100-01-01', {at}, {at}, IF({is_done}, {at}, NULL), '2099-01-01', 0 FROM seq_{first}_to_{last} v",
            "INSERT INTO download (vin, download_index, update_id, position, package_name, package_version, size, "
            "block_size, received, state) "
            f"SELECT {seq_vin}, 1, {_id(UPDATE_PREFIX, 'v.seq')}, 0, {_package(request)}, '1.0.0', 1048576, 65536, "
            f"'1-16', 'transferred' FROM seq_{first}_to_{last} v WHERE {is_done}",
        )
    run("ANALYZE TABLE vehicle, installed_package, vehicle_update, download, install_request, package")


def _package(number: str) -> str:
    return f"CONCAT('package-', LPAD({number}, 2, '0'))"


def _id(prefix: str, number: str) -> str:
    return f"UNHEX(CONCAT('{prefix}', LPAD(HEX({number}), 8, '0')))"


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(first, min(first + CHUNK, count + 1) - 1) for first in range(1, count + 1, CHUNK)]
