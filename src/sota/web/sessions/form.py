"""The small forms of the console: reading them, and checking that they come from our own pages."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from sota.boundaries.b1_browser_web.page_rows import FORM_LIMIT
from sota.boundaries.binding.call import AnyCall
from sota.kit.errors import Forbidden, Invalid, Unsupported

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def kind_of(call: AnyCall) -> str:
    """Return the body's media type: a form or JSON.

    Raises:
        Unsupported: it is neither.
    """
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (FORM, JSON):
        raise Unsupported(f"The body must be {FORM} or {JSON}.")
    return kind


def _pairs(content: bytes) -> list[tuple[str, str]]:
    return parse_qsl(content.decode("utf-8"), keep_blank_values=True, max_num_fields=16, strict_parsing=bool(content))


async def read_fields(call: AnyCall) -> dict[str, object]:
    """Read a form, or a JSON object, into its fields.

    Raises:
        Invalid: it is malformed.
    """
    kind = kind_of(call)
    content = await call.read(FORM_LIMIT)
    try:
        if kind == JSON:
            return msgspec.json.decode(content, type=dict[str, object])
        return dict(_pairs(content))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"The body is malformed: {error}.") from None


async def read_form(call: AnyCall) -> dict[str, str]:
    """Read a form into its fields.

    Raises:
        Unsupported: it is not a form.
        Invalid: it is malformed.
    """
    if kind_of(call) != FORM:
        raise Unsupported(f"The body must be {FORM}.")
    return {name: str(value) for name, value in (await read_fields(call)).items()}


def refuse_foreign(call: AnyCall) -> None:
    """Refuse a form that another site's page sends, so that no other site signs a user in or out.

    Raises:
        Forbidden: the browser says that it comes from elsewhere.
    """
    origin = call.headers.get("origin")
    own = f"{call.scheme}://{call.headers.get('host', '')}"
    site = call.headers.get("sec-fetch-site", "same-origin")
    # A browser without Sec-Fetch-Site still sends Origin with a form; a sandboxed page sends "null".
    if site not in ("same-origin", "none") or (origin is not None and origin != own):
        raise Forbidden("The form comes from another site.")
