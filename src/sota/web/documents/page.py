"""Renders the page of an API document. All text is escaped, nothing is inline, and no script is needed.

Texts in the document are CommonMark; the page supports the parts in use: paragraphs, lists, bold and code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from markupsafe import Markup, escape

from sota.web.console.manifest import Asset, templates

Json = Mapping[str, Any]  # Any: parsed JSON
METHODS = ("get", "post", "put", "delete")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`(.+?)`")
_LIMITS = (("minimum", "from"), ("maximum", "to"), ("minLength", "at least"), ("maxLength", "at most"))


def render(document: Json, assets: Mapping[str, Asset]) -> bytes:
    """Render the page."""
    page = templates("sota.web.documents", assets)
    page.filters |= {"prose": prose, "type": type_of, "pretty": pretty}
    return page.get_template("docs.html").render(document=document, groups=_groups(document)).encode()


def _groups(document: Json) -> list[dict[str, object]]:
    """Return the operations by boundary, each with its answers."""
    shared = document["components"]["responses"]
    groups = [{**tag, "operations": []} for tag in document["tags"]]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = {
                status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                for status, answer in operation["responses"].items()
            }
            entry = {**operation, "method": method.upper(), "path": path, "answers": answers}
            next(group for group in groups if group["name"] in operation["tags"])["operations"].append(entry)
    for group in groups:
        group["operations"].sort(key=lambda entry: (entry["path"], METHODS.index(entry["method"].lower())))
    return groups


def prose(text: str) -> Markup:
    """Render a text of the document as HTML.

    >>> prose("A `code`: <b>\\n\\n* one\\n* two")
    Markup('<p>A <code>code</code>: &lt;b&gt;</p><ul><li>one</li><li>two</li></ul>')
    """
    parts = []
    for block in text.strip().split("\n\n"):
        if block.startswith("* "):
            items = [item.replace("\n", " ") for item in block.removeprefix("* ").split("\n* ")]
            parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        else:
            parts.append(f"<p>{_inline(block)}</p>")
    return Markup("".join(parts))  # noqa: S704 - each part was escaped before its marks became tags


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", _STRONG.sub(r"<strong>\1</strong>", str(escape(text))))


def pretty(value: object) -> str:
    """Format an example as it would be sent."""
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def type_of(schema: Json) -> Markup:
    """Describe what a schema accepts; an object's name links to its fields."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "allOf" in schema:
        return type_of(schema["allOf"][0])
    if "anyOf" in schema:
        return Markup(" or ").join(type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return Markup("array of {}").format(type_of(schema["items"]))
    return _simple(schema)


def _simple(schema: Json) -> Markup:
    words = [escape(schema.get("type", "anything"))]
    if "format" in schema:
        words.append(escape(f"({schema['format']})"))
    words += [escape(f"{word} {schema[name]}") for name, word in _LIMITS if name in schema]
    if "pattern" in schema:
        words.append(Markup("<code>{}</code>").format(schema["pattern"]))
    return Markup(" ").join(words)
