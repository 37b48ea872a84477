"""B3: a store that refuses what a row has no outcome for."""

from __future__ import annotations

import pytest

from tests.support.resolver import RunningResolver
from tests.support.store_faults import table_away

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "body"),
    [("/filters", {"name": "some", "expression": "TRUE"}), ("/packages/ivi/1.0.0/filters", {"filter": "some"})],
)
async def test_store_that_refuses_is_503_where_the_row_has_no_outcome_for_errors(
    resolver: RunningResolver, path: str, body: dict[str, str]
) -> None:
    async with table_away(resolver.db, "filter"):
        answer = await resolver.web.send("POST", path, body)
    assert (answer.status, answer.body["title"]) == (503, "Service Unavailable")
    assert int(answer.headers["retry-after"]) > 0
