"""Examples of bodies about identities of vehicles."""

from __future__ import annotations

from collections.abc import Mapping

from sota.boundaries.b2_web_core import identity_messages as messages

VIN = "WVWZZZ1KZ7W000001"
ID = "01890a5d-ac96-774b-bcce-b302099a8059"
SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
MOMENT, END = "2030-06-01T08:00:00Z", "2032-09-03T08:00:00Z"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIC…\n-----END CERTIFICATE-----\n"
REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\nMIIC…\n-----END CERTIFICATE REQUEST-----\n"
CREDENTIAL = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpc3M….c2lnbmF0dXJl"
CODE = "q3fXv0mJt6Zr2bYc8dWn5kLhA1sE7uPx"
ANCHOR = {"fingerprint": SHA256, "name": "SOTA authority", "signing": True, "identities": 1200}

IDENTITIES: Mapping[type, object] = {
    messages.NewEnrolment: {"request": REQUEST, "replace": False},
    messages.Enrolled: {
        "message": "Vehicle enrolled",
        "identity_id": ID,
        "vin": VIN,
        "certificate": CERTIFICATE,
        "credential": CREDENTIAL,
        "anchors": CERTIFICATE,
        "expires_at": END,
        "revoked": 0,
    },
    messages.Identity: {
        "identity_id": ID,
        "vin": VIN,
        "fingerprint": SHA256,
        "credential_id": f"credential-{SHA256[:32]}",
        "issuer": SHA256,
        "issued_by": "operator",
        "issued_at": MOMENT,
        "expires_at": END,
    },
    messages.NewCode: {"valid_s": 86400},
    messages.EnrolmentCode: {"message": "Code created", "vin": VIN, "code": CODE, "expires_at": MOMENT},
    messages.CodeEnrolment: {"vin": VIN, "code": CODE, "request": REQUEST},
    messages.Revocation: {"reason": "The unit was stolen."},
    messages.Revoked: {"message": "Identities revoked", "vin": VIN, "revoked": 1},
    messages.RevokedEntry: {"entry": SHA256, "revoked_at": MOMENT, "until": END},
    messages.AuthorityState: {"entries": [ANCHOR], "anchors": CERTIFICATE},
}
