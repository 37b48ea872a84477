"""TLS between the backend's programs (docs/specification.md, ruling 10): the settings of callers and callees.

Rules kept here:

* the TLS port is opened in addition to the plain one, which stays on loopback for programs on the same machine;
* with a callers' authority, only clients with one of its certificates can connect (mutual TLS); they still need
  their service credential;
* a replaced certificate is used without a restart;
* a setting whose counterpart is missing prevents the start: no program runs with less protection than configured.

>>> class ResolverSettings(ServedSettings, kw_only=True):        # doctest: +SKIP
...     database: DatabaseUrl = "sqlite:///var/resolver.db"
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Protocol

from sota.kit.errors import StartError
from sota.kit.http.asgi_connection import AsgiApp
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.settings import Annotated, Meta
from sota.kit.security.tls import ServerCertificate
from sota.kit.security.tls_client import calling
from sota.kit.sql.settings import DatabaseSettings

REFRESH_S = 2.0

ServicesAuthority = Annotated[
    Path | None,
    Meta(description="Authority of the programs that we call over HTTPS (PEM); the system's if not set."),
]
ServicesCertificate = Annotated[
    Path | None, Meta(description="Our certificate for programs that require one of their callers (PEM).")
]
ServicesKey = Annotated[
    Path | None, Meta(description="That certificate's private key (PEM), if it is in a separate file.")
]


class ServedSettings(DatabaseSettings, kw_only=True):
    """Settings of a program with a database that others can call over TLS."""

    tls_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of the API over TLS, for other machines; 0 turns it off.")
    ] = 0
    tls_host: Annotated[str, Meta(description="Address of that port.")] = "0.0.0.0"  # noqa: S104 - off unless asked for
    tls_certificate_file: Annotated[Path | None, Meta(description="Certificate chain of that port (PEM).")] = None
    tls_certificate_key_file: Annotated[Path | None, Meta(description="The certificate's private key (PEM).")] = None
    tls_callers_file: Annotated[
        Path | None,
        Meta(description="Authority of callers' certificates (PEM); if set, callers without one cannot connect there."),
    ] = None


class Caller(Protocol):
    """The settings of a program that calls others over TLS."""

    services_ca_file: Path | None
    services_certificate_file: Path | None
    services_certificate_key_file: Path | None


def calling_of(settings: Caller) -> ssl.SSLContext | None:
    """Return the TLS context of a program that calls others; None if nothing is set.

    Raises:
        StartError: a setting is missing, or a file cannot be used.
    """
    return calling(
        "services",
        settings.services_ca_file,
        settings.services_certificate_file,
        settings.services_certificate_key_file,
    )


class TlsListener:
    """The TLS port of a program's API, if its settings configure one."""

    def __init__(self, app: AsgiApp, settings: ServedSettings) -> None:
        self._listener: HttpListener | None = None
        self._certificate: ServerCertificate | None = None
        certificate, key = settings.tls_certificate_file, settings.tls_certificate_key_file
        callers = settings.tls_callers_file
        if not settings.tls_port:
            if certificate is not None or key is not None or callers is not None:
                raise StartError("tls_certificate_file or tls_callers_file is set: set tls_port too")
            return
        if certificate is None or key is None:
            raise StartError("tls_port is set: set tls_certificate_file and tls_certificate_key_file too")
        self._certificate = ServerCertificate(certificate, key, callers)
        self._listener = HttpListener(app, settings.tls_host, settings.tls_port, tls=self._certificate.context)

    async def start(self) -> None:
        """Listen.

        Raises:
            StartError: the address is in use or not one of this machine.
        """
        if self._listener is not None:
            await self._listener.start()

    async def stop(self) -> None:
        """Stop accepting connections, and wait for requests in progress."""
        if self._listener is not None:
            await self._listener.stop()

    async def run(self) -> None:
        """Check for a replaced certificate until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            if self._certificate is not None:
                await asyncio.to_thread(self._certificate.refresh)
