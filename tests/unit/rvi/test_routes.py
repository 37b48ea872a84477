"""From a service's name to the connection behind which it is."""

from __future__ import annotations

from typing import cast

from sota.rvi.connection import PeerConnection
from sota.rvi.routes import Routes

FIRST, SECOND = cast("PeerConnection", object()), cast("PeerConnection", object())


def test_the_newest_connection_gets_everything_and_the_older_takes_over() -> None:
    routes = Routes()
    routes.add(FIRST, ["a"])
    routes.add(SECOND, ["a"])
    assert routes.find("a") is SECOND
    assert routes.remove(SECOND, ["a"]) == []
    assert routes.find("a") is FIRST
    assert routes.remove(FIRST, ["a"]) == ["a"]
    assert routes.find("a") is None


def test_a_name_announced_again_makes_its_connection_the_newest() -> None:
    routes = Routes()
    routes.add(FIRST, ["a"])
    routes.add(SECOND, ["a"])
    routes.add(FIRST, ["a"])
    assert routes.find("a") is FIRST


def test_the_longest_prefix_is_taken() -> None:
    routes = Routes()
    routes.add(FIRST, ["genivi.org/backend/"])
    routes.add(SECOND, ["genivi.org/backend/sota/"])
    assert routes.find("genivi.org/backend/sota/start") is SECOND
    assert routes.find("genivi.org/backend/other") is FIRST
    assert routes.find("genivi.org/vin/x") is None
    routes.remove(SECOND, ["genivi.org/backend/sota/"])
    assert routes.find("genivi.org/backend/sota/start") is FIRST


def test_unknown_names_are_removed_in_silence() -> None:
    assert Routes().remove(FIRST, ["a"]) == []
