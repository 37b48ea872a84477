"""Credentials between programs: a bearer token for the caller, its SHA-256 for the callee
(docs/specification.md, ruling 10).

The callee's file is TOML; a token is withdrawn by deleting its entry, and two entries of one caller let an operator
change a token without a gap::

    [[caller]]
    program = "Web Server"
    sha256 = "9f86d08…"

A token has 256 bits of randomness, so a plain hash is enough to keep.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.binding.call import AnyCall, Authenticator
from sota.kit.errors import Refused, StartError
from sota.kit.files.durable import write_atomic
from sota.kit.files.set_aside import set_aside
from sota.kit.runtime.logging import get_logger

TITLE = "Authentication Failed"
SECRET = re.compile(rb"[A-Za-z0-9_-]{40,64}\s*")


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """A program that showed a valid credential, by the whitelist's name (``Web Server``)."""

    program: str


class ServiceCredentials:
    """Who may call a program."""

    def __init__(self, callers: list[tuple[str, str]]) -> None:
        self._callers = callers

    @classmethod
    def load(cls, path: Path) -> ServiceCredentials:
        """Read the file.

        Raises:
            StartError: it is missing or malformed. Nothing is accepted by default.
        """
        try:
            document = tomllib.loads(path.read_text())
            callers = [(entry["program"], entry["sha256"].lower()) for entry in document.get("caller", [])]
        except OSError as error:
            raise StartError(
                f"credentials file {path}: {error.strerror}; make one with: sota credentials issue --file {path}"
            ) from None
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
            raise StartError(f"credentials file {path}: malformed: {error!r}") from None
        return cls(callers)

    def identify(self, authorization: str) -> ServiceCaller:
        """Return the owner of this token.

        Raises:
            Refused: ``unauthenticated``, 404 'Authentication Failed' (docs/specification.md, ruling 10).
        """
        scheme, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        found = None
        for program, known in self._callers:  # all of them, so that the time says nothing
            if hmac.compare_digest(digest, known):
                found = program
        if scheme.lower() != "bearer" or found is None:
            raise Refused("unauthenticated", "A valid service credential is needed.", status=404, title=TITLE)
        return ServiceCaller(found)

    def authenticator(self) -> Authenticator:
        """Return the authenticator of an :class:`sota.boundaries.binding.app.App`.

        A row whose way has ``secret_path`` (a callback address with a secret in it) is let through.
        """

        async def authenticate(call: AnyCall) -> ServiceCaller | None:
            if call.row.http.secret_path:
                return None
            return self.identify(call.headers.get("authorization", ""))

        return authenticate


def issue(path: Path, program: str) -> str:
    """Create a token for ``program``, add its hash to the callee's file, and return the token."""
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    before = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = f'[[caller]]\nprogram = "{program}"\nsha256 = "{digest}"\n'
    write_atomic(path, (before + ("\n" if before else "") + entry).encode(), mode=0o600)
    return token


def keep_secret(path: Path) -> str:
    """Return the secret of a callback address; create it on first use, and again if its file is damaged."""
    try:
        found = path.read_bytes()
        if SECRET.fullmatch(found):
            return found.decode("ascii").strip()
        kept = set_aside(path)
        get_logger().error(
            "local_file_set_aside", file=str(path), kept_as=kept.name, detail="it holds no secret of ours"
        )
    except FileNotFoundError:
        pass
    new = secrets.token_urlsafe(32)
    write_atomic(path, new.encode(), mode=0o600)
    return new
