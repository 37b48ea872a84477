"""A log on a full disk loses its lines, and fails nothing."""

from __future__ import annotations

import contextlib
import logging as stdlib_logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sota.kit.runtime.logging import configure, get_logger

FULL = Path("/dev/full")  # takes nothing: each write is refused for want of space


@pytest.fixture(autouse=True)
def configured_again() -> Iterator[None]:
    config, handlers = structlog.get_config(), stdlib_logging.getLogger().handlers[:]
    yield
    structlog.configure(**config)
    stdlib_logging.getLogger().handlers[:] = handlers


def test_event_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    full = FULL.open("w")
    configure(output=full)
    for number in range(2000):  # more than a buffer holds
        get_logger().info("package_uploaded", number=number)
    stdlib_logging.getLogger("library").warning("odd")
    with contextlib.suppress(OSError):
        full.close()
    log = tmp_path / "log"
    with log.open("w") as whole:
        configure(output=whole)
        get_logger().info("package_uploaded", number=1)
    assert '"package_uploaded"' in log.read_text()
