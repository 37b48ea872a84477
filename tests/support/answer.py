"""An HTTP answer as tests look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from sota.kit.http.client import Response


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers, and the body read as JSON (or its lines), where it is that."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def message(self) -> str:
        """The literal text: ``message`` of a success, ``title`` of a refusal."""
        text = self.body["message"] if self.status < 400 else self.body["title"]
        assert isinstance(text, str)
        return text


def read(response: Response) -> Answer:
    """Read a response; a body that is not JSON stays bytes."""
    kind = response.headers.get("content-type", "")
    body: Any = response.body
    if kind == "application/x-ndjson":
        body = [msgspec.json.decode(line) for line in response.body.splitlines()]
    elif "json" in kind:
        body = msgspec.json.decode(response.body)
    return Answer(response.status, response.headers, body)
