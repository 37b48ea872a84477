"""TLS between the backend's programs (docs/specification.md, ruling 10): settings of both sides, the callee's port.

Rules kept here:

* the port of TLS stands beside the plain one, which stays on loopback for what runs on the same machine;
* with an authority of callers, who shows no certificate of it gets no connection (mutual TLS); the service credential
  is asked for all the same;
* another certificate is taken up without a restart;
* a setting that needs another one which is missing stops the start: nobody believes to be protected and is not.

>>> class ResolverSettings(DatabaseSettings, kw_only=True):      # doctest: +SKIP
...     tls_port: TlsPort = 0
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Protocol

from sota.kit.errors import StartError
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.settings import Annotated, Meta
from sota.kit.security.tls import ServerCertificate
from sota.kit.security.tls_client import calling

REFRESH_S = 2.0

TlsPort = Annotated[
    int, Meta(ge=0, le=65535, description="TCP port of the API over TLS, for other machines; 0 turns it off.")
]
TlsHost = Annotated[str, Meta(description="Address of that port.")]
TlsCertificate = Annotated[Path | None, Meta(description="Certificate chain of that port (PEM).")]
TlsKey = Annotated[Path | None, Meta(description="The certificate's private key (PEM).")]
CallersAuthority = Annotated[
    Path | None,
    Meta(description="Authority of callers' certificates (PEM); given, who shows none gets no connection there."),
]
ServicesAuthority = Annotated[
    Path | None,
    Meta(description="Authority of the programs that we call by https (PEM); the system's where not given."),
]
ServicesCertificate = Annotated[
    Path | None, Meta(description="Our certificate for programs that ask their callers for one (PEM).")
]
ServicesKey = Annotated[
    Path | None, Meta(description="That certificate's private key (PEM), where it stands in a file of its own.")
]


class Callee(Protocol):
    """The settings of a program that can be called by TLS."""

    @property
    def tls_port(self) -> int: ...
    @property
    def tls_host(self) -> str: ...
    @property
    def tls_certificate_file(self) -> Path | None: ...
    @property
    def tls_certificate_key_file(self) -> Path | None: ...
    @property
    def tls_callers_file(self) -> Path | None: ...


class Caller(Protocol):
    """The settings of a program that calls others by TLS."""

    @property
    def services_ca_file(self) -> Path | None: ...
    @property
    def services_certificate_file(self) -> Path | None: ...
    @property
    def services_certificate_key_file(self) -> Path | None: ...


def calling_of(settings: Caller) -> ssl.SSLContext | None:
    """Give what a program trusts and shows when it calls others; None where nothing is set.

    Raises:
        StartError: a setting is missing, or a file cannot be used.
    """
    return calling(
        "services",
        settings.services_ca_file,
        settings.services_certificate_file,
        settings.services_certificate_key_file,
    )


class TlsDoor:
    """The port of a program's API over TLS, where its settings name one."""

    def __init__(self, app: Any, settings: Callee) -> None:
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
            StartError: the address is taken or not ours.
        """
        if self._listener is not None:
            await self._listener.start()

    async def stop(self) -> None:
        """Stop accepting, let requests under way end."""
        if self._listener is not None:
            await self._listener.stop()

    async def run(self) -> None:
        """Look for another certificate until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            if self._certificate is not None:
                await asyncio.to_thread(self._certificate.refresh)
