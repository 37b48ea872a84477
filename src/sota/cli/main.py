"""``sota``: the command line.

Commands are loaded when they are called, so that each starts quickly and a vehicle stays light.
"""

from __future__ import annotations

import sys

from cyclopts import App

from sota import __version__
from sota.cli.ending import ending

COMMANDS = {
    "demo": ("sota.cli.demo:demo", "Run the whole system doing its main job, on real packages."),
    "up": ("sota.cli.up:up", "Run the backend in one process, on embedded databases."),
    "vehicle": ("sota.cli.vehicle:vehicle", "Run a vehicle in one process: node, client and loading manager."),
    "ctl": ("sota.cli.ctl:app", "Operate a backend from anywhere, over its API."),
    "fleet": ("sota.cli.fleet:fleet", "Run many simulated vehicles in one process, for load and rehearsal."),
    "web": ("sota.cli.programs:web", "Run the Web Server."),
    "core": ("sota.cli.programs:core", "Run SOTA Core."),
    "resolver": ("sota.cli.programs:resolver", "Run the External Resolver."),
    "rvi-node": ("sota.cli.programs:rvi_node", "Run an RVI node, of the backend or of a vehicle."),
    "client": ("sota.cli.programs:client", "Run a vehicle's SOTA Client."),
    "slm": ("sota.cli.programs:slm", "Run a vehicle's Software Loading Manager."),
    "backup": ("sota.cli.backup:backup", "Back up a stopped backend to one file."),
    "restore": ("sota.cli.backup:restore", "Restore a backup, or check it."),
    "db": ("sota.cli.db:app", "Upgrade a program's database."),
    "users": ("sota.cli.users:app", "Add, list and disable accounts of the Web Server."),
    "tokens": ("sota.cli.tokens:app", "Issue, list and revoke API tokens of the Web Server."),
    "audit": ("sota.cli.audit:app", "Check or export an audit trail."),
    "credentials": ("sota.cli.credentials:app", "Issue credentials between programs."),
    "authority": ("sota.cli.authority:app", "Create an authority for nodes, and the backend's own identity."),
    "enrol": ("sota.cli.enrol:enrol", "Issue a vehicle's certificate and credential."),
    "identity": ("sota.cli.identity:app", "On the vehicle: get an identity for a key of its own."),
    "keys": ("sota.cli.keys:app", "Create keys that sign packages, and sign a package."),
    "completion": ("sota.cli.completion:completion", "Set up shell completion."),
    "whitelist": ("sota.cli.whitelist:whitelist", "Print the whitelist: rows, outcomes, both ends, tests."),
}


def make(called: str = "") -> App:
    """Build the command line, with the full help of the called command and one line for each other."""
    app = App(
        name="sota",
        version=__version__,
        help="Software over the air for vehicles. Start with: sota demo",
        version_flags=["--version"],
    )
    for name, (path, line) in COMMANDS.items():
        # With a help line given, the library would show it instead of the command's own help.
        app.command(path, name=name, help=None if name == called else line)
    return app


def main() -> None:
    """Run the command line."""
    ending(make(*sys.argv[1:2]))
