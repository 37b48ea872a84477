"""Failed handshakes: counted by reason, and logged now and then with advice.

Without this an expired identity would leave no trace: asyncio ends such a connection on the listening side before the
node hears of it, and the connecting side mostly sees only that it was closed. ``refused`` tells whose identity it was:
``theirs``, the peer's, refused by us, or ``ours``, refused by the peer. When the connecting side refuses the listening
one, only its own log shows it: asyncio closes the connection without TLS's alert.

A peer that retries every second must not fill the log: each side and reason is logged once a minute, with the number of
failures since then. The metric counts all.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from sota.kit.runtime.metrics import Counter

EVERY_S = 60.0
FAILED = Counter(
    "sota_rvi_handshakes_failed_total",
    "Connections to other nodes that failed before the greeting, by side, whose identity was refused, and why.",
    ["side", "refused", "reason"],
)
# Codes of OpenSSL's X509_V_ERR_*, which Python passes on as numbers.
VERIFY_CODES = {
    7: "unknown_authority",  # signed by another authority of the same name
    9: "not_yet_valid",
    10: "expired",
    18: "unknown_authority",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    23: "revoked",
    62: "wrong_name",
}
# What a peer reports by an alert (RFC 8446, 6.2), in OpenSSL's words; a certificate that is not valid yet is a bad one.
ALERTS = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "not_yet_valid",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "bad_certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "bad_certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "unknown_authority",
    "TLSV1_ALERT_ACCESS_DENIED": "bad_certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "no_certificate",
    "SSLV3_ALERT_NO_CERTIFICATE": "no_certificate",
}
HINTS = {
    "expired": "issue the identity again, or set the clock that is wrong",
    "not_yet_valid": "set the clock that is wrong, or issue the identity again",
    "unknown_authority": "both nodes need identities of one authority: see root.pem of both",
    "revoked": "its identity was revoked: enrol it again if that was a mistake",
    "wrong_name": "the address names another node than the certificate",
    "no_certificate": "the peer is no RVI node with an identity",
    "bad_certificate": "issue the identity again",
    "no_greeting": "the peer ended the connection before it greeted, and its log says why: has this identity expired,"
    " was it revoked, or is it another authority's?",
    "no_tls": "the peer does not use TLS, or none that is accepted here",
}


class HandshakeFailures:
    """The failed handshakes of one node. ``clock`` is monotonic."""

    def __init__(self, log: FilteringBoundLogger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._failures: dict[tuple[str, str, str], int] = {}
        self._logged_at: dict[tuple[str, str, str], float] = {}

    def watch(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Report failures of the listening side, which asyncio hides."""
        failed = self.failed

        class Watched(ssl.SSLObject):
            """A connection whose handshake is watched."""

            def do_handshake(self) -> None:
                """Go on with the handshake."""
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except ssl.SSLError as error:
                    failed("listening", error)
                    raise

        context.sslobject_class = Watched
        return context

    def failed(self, side: str, error: BaseException | None, address: str | None = None) -> None:
        """Count and log a failure; ``error`` is None if the peer just closed the connection."""
        refused, reason = read_failure(error)
        FAILED.labels(side, refused, reason).inc()
        key, now = (side, refused, reason), self._clock()
        self._failures[key] = self._failures.get(key, 0) + 1
        if now - self._logged_at.get(key, -EVERY_S) < EVERY_S:
            return
        self._logged_at[key] = now
        self._log.warning(
            "handshake_failed",
            side=side,
            refused=refused,
            reason=reason,
            times=self._failures.pop(key),
            address=address,
            detail=str(error) if error is not None else None,
            hint=HINTS[reason],
        )


def read_failure(error: BaseException | None) -> tuple[str, str]:
    """Return whose identity was refused, and why.

    >>> read_failure(ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA]"))
    ('none', 'no_tls')
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return "theirs", VERIFY_CODES.get(error.verify_code, "bad_certificate")
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if reason in ALERTS:
        return "ours", ALERTS[reason]
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "theirs", "no_certificate"
    return ("none", "no_tls") if isinstance(error, ssl.SSLError) else ("ours", "no_greeting")
