"""TLS contexts of clients: the authority that a program trusts and the certificate that it presents.

Separate from :mod:`sota.kit.security.tls`, which makes certificates and needs a library for that.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from sota.kit.errors import StartError


def calling(setting: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return a client context that trusts one authority and presents our certificate; None without an authority.

    ``setting`` is the prefix of the three settings' names: ``database`` of ``database_ca_file``.

    Raises:
        StartError: a setting needs another that is missing, or a file cannot be used.
    """
    if ca is None:
        if certificate is not None or key is not None:
            raise StartError(f"{setting}_certificate_file is set: set {setting}_ca_file too")
        return None
    if key is not None and certificate is None:
        raise StartError(f"{setting}_certificate_key_file is set: set {setting}_certificate_file too")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # includes ssl.SSLError
        raise StartError(f"{setting}_ca_file: cannot use {ca}: {_why(error)}") from None
    # Python 3.13 requires extensions that certificates of private authorities often lack; 3.11 and 3.12 do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # never prompt on a terminal
        except OSError as error:
            raise StartError(f"{setting}_certificate_file: cannot use {certificate}: {_why(error)}") from None
    return context


def _why(error: OSError) -> str:
    return error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "not such a file in PEM"
