"""Reference pages that are made from the code, so that they cannot disagree with it.

Each page is a function that returns Markdown. The pages are kept in the repository, for readers without a checkout;
a test compares them with what these functions return.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sota.boundaries.interaction import Http, Interaction, Role
from sota.boundaries.openapi.errors import errors_page
from sota.boundaries.table import TABLE
from sota.cli.main import COMMANDS, make
from sota.client.settings import ClientSettings
from sota.core.settings import CoreSettings
from sota.kit.runtime.metrics import REGISTRY
from sota.kit.runtime.settings import Settings, describe
from sota.resolver.settings import ResolverSettings
from sota.rvi.settings import NodeSettings
from sota.slm.settings import SlmSettings
from sota.web.settings import WebSettings

MADE = "<!-- Made by `make reference`. Do not edit. -->\n"
PROGRAMS: Mapping[str, tuple[type[Settings], str]] = {
    "web": (WebSettings, "Web Server"),
    "core": (CoreSettings, "SOTA Core"),
    "resolver": (ResolverSettings, "External Resolver"),
    "rvi-node": (NodeSettings, "RVI node, of the backend or of a vehicle"),
    "client": (ClientSettings, "SOTA Client, in a vehicle"),
    "slm": (SlmSettings, "Software Loading Manager, in a vehicle"),
}
SOURCES = Path(__file__).parents[2] / "src"
REGISTERS = re.compile(r"^\w+ = (?:Counter|Gauge|Histogram)\(|^REGISTRY\.register\(", re.MULTILINE)
"""What a module has that registers metrics when it is imported."""

COMMANDS_HEAD = f"""# Commands

{MADE}
Every command prints this text with `--help`. `sota --version` prints the version.

| Command | Purpose |
|---|---|
"""
SETTINGS_HEAD = f"""# Settings

{MADE}
A program reads its defaults, then its table of the TOML file that `--config` names, then environment variables, then
`--set name=value`. The last one wins. `sota core --show-settings` prints the values in force, and so for each program.
How to use them: [install as services](../how-to/install-services.md).
"""
ROLES_HEAD = f"""# Roles

{MADE}
An account or a token has one role. Each role may make all calls of the role before it: `viewer` reads, `operator`
changes what concerns vehicles, `admin` administers. A call that the role does not allow is answered 403 `forbidden`.
How to make accounts and tokens: [accounts and tokens](../how-to/manage-accounts.md).
"""
METRICS_HEAD = f"""# Metrics

{MADE}
`/metrics` on a program's operation port has these, in Prometheus's text format, beside those of the Python process.
What to watch: [monitor](../how-to/monitor.md).

| Metric | Type | Meaning |
|---|---|---|
"""
ROLE_TEXTS = {
    Role.PUBLIC: "without signing in",
    Role.VIEWER: "`viewer`, `operator` and `admin`",
    Role.OPERATOR: "`operator` and `admin`",
    Role.ADMIN: "`admin`",
}


def commands_page() -> str:
    """Return the page of all commands."""
    lines = [f"| [`sota {name}`](#sota-{name}) | {purpose} |\n" for name, (_, purpose) in COMMANDS.items()]
    return COMMANDS_HEAD + "".join(lines) + "".join(f"\n{_command(name)}" for name in COMMANDS)


def settings_page() -> str:
    """Return the page of all settings, a table for each program."""
    return SETTINGS_HEAD + "".join("".join(_settings(name)) for name in PROGRAMS)


def roles_page() -> str:
    """Return the table of who may make which call of B1."""
    calls = [(row, row.way, row.role) for row in TABLE.values() if row.role is not None and isinstance(row.way, Http)]
    parts = [ROLES_HEAD]
    for role, text in ROLE_TEXTS.items():
        parts.append(f"\n## Calls that may be made {'by ' if role is not Role.PUBLIC else ''}{text}\n\n")
        parts.append("| Call | Method and path | Row |\n|---|---|---|\n")
        parts += [_call(row, way) for row, way, needed in calls if needed is role]
    return "".join(parts)


def metrics_page() -> str:
    """Return the page of the product's own metrics."""
    for path in (SOURCES / "sota").rglob("*.py"):
        if REGISTERS.search(path.read_text()):
            importlib.import_module(".".join(path.relative_to(SOURCES).with_suffix("").parts))
    families = sorted((one for one in REGISTRY.collect() if one.name.startswith("sota_")), key=lambda one: one.name)
    names = {one.name: f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    return METRICS_HEAD + "".join(f"| `{names[one.name]}` | {one.type} | {one.documentation} |\n" for one in families)


def _command(name: str) -> str:
    app = make(name)[name]
    text = app.generate_docs(usage_name=f"sota {name}", heading_level=2, max_heading_level=4)
    text = re.sub(r" -m [\w.]+", "", text)  # how this process was started, which the library puts into the usage
    text = re.sub(r"^#+ Table of Contents\n+(?:^ *- .*\n)+\n*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(#+) (?!sota )", r"\1 sota ", text, flags=re.MULTILINE)
    text = re.sub(r"\]\(#(?!sota-)", "](#sota-", text)
    lines = (line.rstrip().replace("```console", "```text") for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _settings(program: str) -> Iterator[str]:
    kind, title = PROGRAMS[program]
    yield f"\n## `[{program.replace('-', '_')}]`: {title}\n\n"
    yield "| Setting | Default | Meaning |\n|---|---|---|\n"
    for name, _variable, default, text in describe(kind, program):
        shown = f"`{default}`" if default not in {"", "None"} else ""
        yield f"| `{name}` | {shown} | {_cell(text)} |\n"


def _call(row: Interaction, way: Http) -> str:
    return f"| {_cell(row.title)} | `{way.method} {way.path}` | {row.id} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "roles.md": roles_page,
    "metrics.md": metrics_page,
    "errors.md": errors_page,
}
"""The function of each generated page, by the page's file name below ``docs/reference``."""
