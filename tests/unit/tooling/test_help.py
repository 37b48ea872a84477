"""What `--help` teaches."""

from __future__ import annotations

import importlib

import pytest
from cyclopts import App

from sota.cli.main import COMMANDS, make


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what `--help` prints, without its layout."""
    make(*arguments[:1]).help_print(list(arguments))
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_every_command_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    for name, (_, line) in COMMANDS.items():
        assert f"{name} {line}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_of_itself_at_length(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    said = command.help if isinstance(command, App) else command.__doc__.split("Parameters\n")[0]
    words = [word.strip("`") for word in said.split()]
    text = shown(capsys, name)
    assert words
    assert [word for word in words if word not in text] == []


def test_a_fleet_shows_how_it_is_begun_and_what_a_profile_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "fleet")
    assert "sota fleet --vehicles 500" in text
    assert "[connectivity] offline = 0.2" in text
