"""The programs of the whitelist, each alone: ``sota web``, ``core``, ``resolver``, ``rvi-node``, ``client``, ``slm``.

All take the same options; ``--show-settings`` prints each one's settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.cli.launch import run_one

Config = Annotated[Path | None, Parameter(name="--config", help="TOML file; the program reads its own table.")]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="A setting, as name=value; repeatable.", negative=()),
]
Show = Annotated[
    bool,
    Parameter(name="--show-settings", help="Print every setting, its value and its meaning, and exit.", negative=()),
]


def web(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run the Web Server: the API and console for people and programs (B1), the package repository (B13).

    Settings come from the file's table [web], then SOTA_WEB_… environment variables, then --set.
    """
    from sota.web.accounts.model import FIRST_ADMIN
    from sota.web.program import WebProgram
    from sota.web.settings import WebSettings

    def greeting(program: WebProgram) -> str | None:
        password = program.first_password
        return f"First sign-in: {FIRST_ADMIN} / {password} (you then choose your own)" if password else None

    run_one("web", WebSettings, WebProgram, config, overrides, show=show_settings, greeting=greeting)


def core(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run SOTA Core: registers, install requests, transfers (B2, B5, B7, B12).

    Settings come from the file's table [core], then SOTA_CORE_… environment variables, then --set.
    """
    from sota.core.program import CoreProgram
    from sota.core.settings import CoreSettings

    run_one("core", CoreSettings, CoreProgram, config, overrides, show=show_settings)


def resolver(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run the External Resolver: filters, dependencies, which vehicles get a package (B3, B5).

    Settings come from the file's table [resolver], then SOTA_RESOLVER_… environment variables, then --set.
    """
    from sota.resolver.program import ResolverProgram
    from sota.resolver.settings import ResolverSettings

    run_one("resolver", ResolverSettings, ResolverProgram, config, overrides, show=show_settings)


def rvi_node(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run an RVI node: the backend's (role server) or a vehicle's (role client) (B7, B8, B9).

    Settings come from the file's table [rvi_node], then SOTA_RVI_NODE_… environment variables, then --set.
    """
    from sota.rvi.node import Node
    from sota.rvi.settings import NodeSettings

    run_one("rvi-node", NodeSettings, Node, config, overrides, show=show_settings)


def client(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run a vehicle's SOTA Client: it receives and verifies downloads (B9, B10).

    Settings come from the file's table [client], then SOTA_CLIENT_… environment variables, then --set.
    """
    from sota.client.program import ClientProgram
    from sota.client.settings import ClientSettings

    run_one("client", ClientSettings, ClientProgram, config, overrides, show=show_settings)


def slm(*, config: Config = None, overrides: Set = (), show_settings: Show = False) -> None:
    """Run a vehicle's Software Loading Manager: it installs, verifies and reports (B10).

    Settings come from the file's table [slm], then SOTA_SLM_… environment variables, then --set.
    """
    from sota.slm.program import SlmProgram
    from sota.slm.settings import SlmSettings

    run_one("slm", SlmSettings, SlmProgram, config, overrides, show=show_settings)
