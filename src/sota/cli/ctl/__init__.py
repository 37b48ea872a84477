"""``sota ctl``: the operator's command line, over the Web Server's API (B1) with a token.

One file for each group of commands. ``profile.py`` finds server and token, ``session.py`` makes the calls and turns
errors into one line and an exit code, ``output.py`` prints. A command is thin: it reads its arguments, makes the calls
of ``boundaries/b1_browser_web`` and prints the answer; the server decides what is allowed.

Exit codes: 0 done, 1 the server refused, 2 wrong usage or configuration, 3 the server cannot be reached.
"""

from __future__ import annotations

from cyclopts import App

GROUPS = {
    "status": ("sota.cli.ctl.status:status", "Say which server this is, and whether it and the token work."),
    "vehicles": ("sota.cli.ctl.vehicles:app", "Register, look up, enrol and retire vehicles."),
    "packages": ("sota.cli.ctl.packages:app", "Build, upload, look up, blacklist and delete packages."),
    "filters": ("sota.cli.ctl.filters:app", "Write the filters that choose vehicles, and give them to packages."),
    "campaigns": ("sota.cli.ctl.campaigns:app", "Bring a package to the vehicles that its filters choose."),
    "requests": ("sota.cli.ctl.requests:app", "Queue packages; follow, cancel, stop and retry install requests."),
    "resolutions": ("sota.cli.ctl.resolutions:app", "Look up whom a request chose, and why."),
    "groups": ("sota.cli.ctl.groups:app", "Group vehicles by hand."),
    "users": ("sota.cli.ctl.users:app", "Make, change and delete accounts."),
    "tokens": ("sota.cli.ctl.tokens:app", "Make and revoke tokens for the API."),
    "audit": ("sota.cli.ctl.audit:app", "Read and check who did what."),
    "authority": (
        "sota.cli.ctl.authority:authority",
        "Show the trust anchors, and how far one took over from another.",
    ),
    "components": ("sota.cli.ctl.components:app", "Register and look up components."),
}

EXAMPLES = """For example:

    export SOTA_URL=https://sota.example SOTA_TOKEN_FILE=~/sota.token
    sota ctl status
    sota ctl vehicles add WVWZZZ1KZ7T000001
    sota ctl packages upload ivi.deb --name ivi --version 2.1.0 \\
        --installer deb --key packages.key.pem
    sota ctl filters preview 'vin_matches "^WVW"'
    sota ctl filters add golfs 'vin_matches "^WVW"'
    sota ctl filters attach golfs ivi/2.1.0
    sota ctl campaigns create ivi/2.1.0 --within 14d
    sota ctl requests watch REQUEST

Server and token: --url and --token-file; or SOTA_URL, and SOTA_TOKEN or
SOTA_TOKEN_FILE; or ~/.config/sota/ctl.toml. sota tokens new makes a token.

--json prints what programs read. Exit codes: 0 done, 1 refused,
2 wrong usage or configuration, 3 the server cannot be reached."""

app = App(
    name="ctl",
    help="Operate a SOTA backend from anywhere, over its API.",
    help_epilogue=EXAMPLES,
    help_format="plaintext",
)
for _name, (_path, _help) in GROUPS.items():
    app.command(_path, name=_name, help=_help)
