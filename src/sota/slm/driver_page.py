"""The driver's page: the updates that wait for an answer, as HTML without scripts, and the answers of its forms.

The page's address contains a secret, and each form a token derived from it for its own update: another page in the
same browser knows neither. The page loads nothing from outside and cannot be framed. Texts of an update are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from urllib.parse import parse_qsl

from sota.boundaries.b10_client_slm.messages import ConsentAnswer, ConsentQuestion, Decision
from sota.kit.errors import Forbidden, Invalid

REFRESH_S = 30
HOURS = {"1": "in an hour", "4": "in four hours", "24": "tomorrow"}
STYLE = (
    "body{font:1.25rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}"
    "section{border:1px solid;border-radius:.5rem;padding:1rem;margin:1rem 0}"
    "button,select{font:inherit;padding:.75rem 1.25rem;margin:.25rem .5rem .25rem 0}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "refresh": str(REFRESH_S),
}


def token_for(secret: str, update_id: str) -> str:
    """Return the token of one update's form."""
    return hmac.new(secret.encode(), update_id.encode(), hashlib.sha256).hexdigest()


def render(questions: Sequence[ConsentQuestion], secret: str, now: datetime) -> bytes:
    """Return the page."""
    body = "".join(_section(question, secret, now) for question in questions) or "<p>No update waits for you.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Software updates</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>Software updates</h1>{body}</main></body></html>"
    ).encode()


def read_form(content: bytes, secret: str, update_id: str, headers: Mapping[str, str], now: datetime) -> ConsentAnswer:
    """Return the answer that a form sent.

    Raises:
        Forbidden: it is not the page's own form, or another site sent it.
        Invalid: it is not an answer.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Invalid("The form must be application/x-www-form-urlencoded.")
    try:
        fields = dict(parse_qsl(content.decode("ascii"), max_num_fields=8, strict_parsing=True))
    except ValueError:
        raise Invalid("The form is malformed.") from None
    same_site = headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    if not same_site or not hmac.compare_digest(fields.get("token", ""), token_for(secret, update_id)):
        raise Forbidden("The form is not the page's own: load the page again.")
    try:
        decision = Decision(fields.get("decision", ""))
    except ValueError:
        raise Invalid("The form has no decision.") from None
    if decision is not Decision.DEFER:
        return ConsentAnswer(decision=decision)
    if fields.get("hours") not in HOURS:
        raise Invalid("The form names no time.")
    return ConsentAnswer(decision=decision, until=now + timedelta(hours=int(fields["hours"])))


def _section(question: ConsentQuestion, secret: str, now: datetime) -> str:
    packages = "".join(f"<li>{escape(package.text)}</li>" for package in question.packages)
    description = f"<p>{escape(question.description)}</p>" if question.description else ""
    deferred = f"<p>Deferred until {_time(question.deferred_until)}.</p>" if question.deferred_until else ""
    return (
        f"<section><h2>Update of {len(question.packages)} package(s), {question.size / 1e6:.1f} MB</h2>{description}"
        f"<ul>{packages}</ul>{deferred}"
        f'<form method="post" action="{escape(secret)}/{escape(question.update_id)}">'
        f'<input type="hidden" name="token" value="{token_for(secret, question.update_id)}">'
        f'<button name="decision" value="accept">Install</button>{_later(question, now)}'
        '<button name="decision" value="decline">Decline</button></form></section>'
    )


def _later(question: ConsentQuestion, now: datetime) -> str:
    """Return the choices for a later time, empty if none is possible."""
    latest = question.defer_until
    possible = [hours for hours in HOURS if latest is not None and now + timedelta(hours=int(hours)) <= latest]
    if latest is None or not possible:
        return ""
    options = "".join(f'<option value="{hours}">{HOURS[hours]}</option>' for hours in possible)
    return (
        f'<label>Later: <select name="hours">{options}</select></label>'
        f'<button name="decision" value="defer">Defer</button>'
        f"<p>It can be deferred {question.deferrals_left} more time(s), until {_time(latest)}.</p>"
    )


def _time(instant: datetime) -> str:
    return escape(instant.astimezone().strftime("%Y-%m-%d %H:%M"))
