"""Structured logs: one event a line, in the past tense, with fields.

``log.info("package_uploaded", package="ivi/2.1.0", size=1048576)``. JSON unless standard error is a terminal. Never
secrets or tokens.
"""

from __future__ import annotations

import contextlib
import logging as stdlib_logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import msgspec

# structlog imports rich, if installed, for coloured tracebacks that we never print: 4 MB of a vehicle.
_without_rich = "rich" not in sys.modules
if _without_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402 - after what is above

if _without_rich:
    del sys.modules["rich"]

# Beyond what JSON escapes: 8-bit control characters (CSI begins an escape sequence), line and paragraph separators,
# and marks that change the direction of text.
UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
_state = {"debug": False}
SECRET_NAMES = frozenset({"password", "token", "secret", "credential", "authorization", "cookie", "key"})


def configure(level: str = "info", *, output: TextIO | None = None, program: str | None = None) -> None:
    """Set up the process's logs: ``level`` is debug, info, warning or error; ``output`` is standard error."""
    stream = output or sys.stderr
    _state["debug"] = level.lower() == "debug"
    numeric = getattr(stdlib_logging, level.upper())
    # uvicorn, asyncio and alembic use the standard library: only their warnings matter.
    render = _render_text if stream.isatty() else _render_json
    lossy = cast(TextIO, _Lossy(stream))
    stdlib_logging.basicConfig(stream=lossy, level=max(numeric, stdlib_logging.WARNING), force=True)
    for handler in stdlib_logging.getLogger().handlers:
        handler.setFormatter(_Standard(render))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(lossy),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if program:
        structlog.contextvars.bind_contextvars(program=program)


class _Lossy:
    """Writes to a stream and drops what it does not take: a full disk must not fail a request for its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Standard(stdlib_logging.Formatter):
    """Logs the messages of libraries as our events, one a line."""

    def __init__(self, render: Callable[[object, str, MutableMapping[str, object]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: stdlib_logging.LogRecord) -> str:
        event: dict[str, object] = {
            **structlog.contextvars.get_contextvars(),
            "logger": record.name,
            "event": record.getMessage().strip(),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return self._render(None, record.name, event)


def is_debugging() -> bool:
    """Return whether debug events are written: events for every block are too expensive to build in vain."""
    return _state["debug"]


def get_logger(**fields: object) -> Any:
    """Return a logger whose every event carries ``fields``. (Any: structlog makes the logger's class at run time.)"""
    return structlog.get_logger(**fields)


def _hide_secrets(_logger: object, _name: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    for name in event.keys() & SECRET_NAMES:
        event[name] = "…"
    return event


def _render_json(_logger: object, _name: str, event: MutableMapping[str, object]) -> str:
    try:
        line = msgspec.json.encode(event, enc_hook=str).decode()
    except UnicodeEncodeError:  # half a character: the event must be written nevertheless
        whole = {name: str(value).encode(errors="backslashreplace").decode() for name, value in event.items()}
        line = msgspec.json.encode(whole).decode()
    return UNPRINTABLE.sub(_escape, line)


def _render_text(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:  # Any: values
    # One event stays one line: a line break in a value must not forge a second event.
    head = f"{event.pop('timestamp', '')[11:19]} {event.pop('level', ''):7} {event.pop('event', '')}"
    fields = " ".join(f"{name}={str(value)!r}" for name, value in event.items() if name != "exception")
    # So does a line of a traceback: an error's text may hold what a caller sent.
    trace = "".join(f"\n    | {UNPRINTABLE.sub(_escape, part)}" for part in str(event.get("exception", "")).split("\n"))
    return f"{head} {fields}{trace if 'exception' in event else ''}"


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
