"""``sota whitelist --openapi`` prints the API document, ``--errors`` the page of error codes."""

from __future__ import annotations

import msgspec
import pytest

from sota.boundaries.openapi import DOCUMENTED, document
from sota.boundaries.openapi.errors import errors_page
from sota.cli.whitelist import whitelist
from sota.kit.errors import NotFound


@pytest.mark.parametrize("name", ["web", "core", "resolver"])
def test_document_of_a_program_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    whitelist(openapi=name)
    assert msgspec.json.decode(capsys.readouterr().out) == document(DOCUMENTED[name])


def test_page_of_errors_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    whitelist(errors=True)
    assert capsys.readouterr().out == errors_page()


def test_program_without_a_document_is_told_so() -> None:
    with pytest.raises(NotFound, match="web, core, resolver"):
        whitelist(openapi="slm")
