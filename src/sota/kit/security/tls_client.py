"""What a program trusts when it connects to another by TLS 1.2 or later, and what it shows.

Apart from :mod:`sota.kit.security.tls`, which makes certificates and needs a library for it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from sota.kit.errors import StartError


def calling(setting: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Trust one authority, check the callee's name, and show our own certificate where there is one.

    ``setting`` is how the names of the three settings begin: ``database`` of ``database_ca_file``. None without any.

    Raises:
        StartError: one is missing that another needs, or a file cannot be used.
    """
    if ca is None:
        if certificate is not None or key is not None:
            raise StartError(f"{setting}_certificate_file is set: set {setting}_ca_file too")
        return None
    if key is not None and certificate is None:
        raise StartError(f"{setting}_certificate_key_file is set: set {setting}_certificate_file too")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"{setting}_ca_file: cannot use {ca}: {_why(error)}") from None
    # Python 3.13 asks certificates for extensions that those of private authorities often lack; 3.11 and 3.12 do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # never ask for one on a terminal
        except OSError as error:
            raise StartError(f"{setting}_certificate_file: cannot use {certificate}: {_why(error)}") from None
    return context


def _why(error: OSError) -> str:
    return error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "no PEM of that kind"
