"""The errors of all programs, one tree.

::

    SotaError
    ├── Refused         a declared outcome of the interaction, named by its code ("not_found")
    ├── Invalid         400 the request is malformed or a value is out of its range
    ├── Unauthenticated 401 no session, token or credential
    ├── Forbidden       403 known, but not allowed
    ├── NotFound        404 no such path or object
    ├── NotAllowed      405 the path exists, the method does not
    ├── Conflict        409 contradicts what is already there
    ├── TooSlow         408 a body that did not arrive in time
    ├── TooLarge        413 a body over its limit
    ├── TooLong         414 an address over its limit
    ├── Unsupported     415 another content type is needed
    ├── TooMany         429 try later
    ├── Failed          something behind the request failed: the row's "an error occurs", or 500 if it declares none
    │   └── Unreadable  a cursor that we did not issue: the row's "an error occurs", or 400 if it declares none
    ├── Unavailable     503 a neighbour or store cannot be reached for now
    │   └── Damaged     a row of the store cannot be read
    └── StartError      a program cannot start: one clear line, no traceback, ``exit_code``

``detail`` is for people: it names the value and the way out. ``code`` is stable: programs compare it. ``headers`` go
into the HTTP answer; ``values`` fill the placeholders in the declared outcome's message.
"""

from __future__ import annotations

from collections.abc import Mapping


class SotaError(Exception):
    """The root of the tree; raise one of its subclasses."""

    code = "error"
    status = 500
    title = "Internal Server Error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        status: int | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        values: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or title or self.title)
        self.detail = detail
        self.code = code or self.code
        self.status = status or self.status
        self.title = title or self.title
        self.headers = headers or {}
        self.values = values or {}


class Refused(SotaError):
    """A declared outcome of the interaction: status and title are those of the row's outcome named ``code``.

    ``status`` and ``title`` apply where the row does not declare it, as when another program's answer is passed on.
    """

    status = 409
    title = "Refused"

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        status: int | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        values: Mapping[str, str] | None = None,
    ) -> None:
        title = title or code.replace("_", " ").capitalize()
        super().__init__(detail, code=code, status=status, title=title, headers=headers, values=values)


class Invalid(SotaError):
    """The request is malformed or a value is out of its range."""

    code, status, title = "invalid", 400, "Bad Request"


class Unauthenticated(SotaError):
    """No valid session, token or credential."""

    code, status, title = "unauthenticated", 401, "Unauthorized"


class Forbidden(SotaError):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(SotaError):
    """No such path or object."""

    code, status, title = "not_found", 404, "Not Found"


class NotAllowed(SotaError):
    """The path exists, the method does not."""

    code, status, title = "method_not_allowed", 405, "Method Not Allowed"


class Conflict(SotaError):
    """Contradicts what is already there."""

    code, status, title = "conflict", 409, "Conflict"


class TooSlow(SotaError):
    """A body did not arrive in time."""

    code, status, title = "timeout", 408, "Request Timeout"


class TooLarge(SotaError):
    """A body is over its limit."""

    code, status, title = "too_large", 413, "Content Too Large"


class TooLong(SotaError):
    """An address is over its limit."""

    code, status, title = "url_too_long", 414, "URI Too Long"


class Unsupported(SotaError):
    """Another content type is needed."""

    code, status, title = "unsupported_media_type", 415, "Unsupported Media Type"


class TooMany(SotaError):
    """Too many requests: try later."""

    code, status, title = "too_many", 429, "Too Many Requests"


class Failed(SotaError):
    """Something behind the request failed: the row's outcome 'an error occurs', or 500 if it declares none."""

    code, status, title = "failed", 500, "Internal Server Error"


class Unreadable(Failed):
    """A cursor cannot be read: the row's outcome 'an error occurs', or ``Invalid`` if it declares none."""


class Unavailable(SotaError):
    """A neighbour or store cannot be reached for now; the same request may succeed later."""

    code, status, title = "unavailable", 503, "Service Unavailable"


class Damaged(Unavailable):
    """A row of the store cannot be read: :mod:`sota.kit.sql.damaged_rows`."""


class StartError(SotaError):
    """A program cannot start. The command line prints only ``detail`` and exits with ``exit_code``."""

    code, title = "start_failed", "Cannot start"

    def __init__(self, detail: str, *, exit_code: int = 2) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
