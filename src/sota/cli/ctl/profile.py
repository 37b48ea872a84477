"""Which server ``sota ctl`` calls, and with which token.

Later ones win: ``~/.config/sota/ctl.toml`` (or the file that ``SOTA_CTL_CONFIG`` names), the environment, the options::

    url = "https://sota.example"
    token_file = "~/.config/sota/token"
    ca = "~/.config/sota/ca.pem"        # if the server's certificate is not from a public authority

    [profiles.laboratory]
    url = "http://127.0.0.1:8080"
    token_file = "var/token"

``--profile laboratory`` (or ``SOTA_PROFILE``) selects that table instead of the top. There is no option for a token
itself, since options are visible in the list of processes: name a file that contains it.
"""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from sota.kit.errors import StartError
from sota.kit.http.client import HttpClient
from sota.kit.runtime.settings import read_secret
from sota.kit.security.tls import trusting

CALL_TIMEOUT_S = 60.0
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Target:
    """Which server a command calls, and how it prints."""

    url: str | None = None
    "Address of the Web Server, https://HOST[:PORT]."
    token_file: Path | None = None
    "File with the API token."
    ca: Path | None = None
    "Certificate of the server, or of its authority if that is not a public one."
    profile: str | None = None
    "A table of the profile file."
    json: Annotated[bool, Parameter(negative=())] = False
    "Print JSON."


HERE = Target()


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a profile."""

    url: str | None = None
    token_file: str | None = None
    ca: str | None = None


class ProfileFile(Profile, frozen=True, forbid_unknown_fields=True):
    """The profile file: a profile, and further ones by name."""

    profiles: dict[str, Profile] = {}


def client_of(target: Target, environment: Mapping[str, str] = os.environ) -> HttpClient:
    """Return a client for the server that the options, the environment and the profile file name.

    Raises:
        StartError: none is named, or it cannot be used.
    """
    profile = read_profile(target.profile or environment.get("SOTA_PROFILE"), environment)
    url = target.url or environment.get("SOTA_URL") or profile.url
    if not url:
        raise StartError("no server: give --url, SOTA_URL, or url in ~/.config/sota/ctl.toml")
    if url.startswith("http://") and not url.startswith(LOOPBACK):
        raise StartError(f"{url}: a token goes over https:// only, except to this machine itself")
    try:
        return HttpClient(
            url, _token(target, profile, environment), _trust(url, target, profile, environment), CALL_TIMEOUT_S
        )
    except ValueError as error:
        raise StartError(str(error)) from None


def read_profile(name: str | None, environment: Mapping[str, str]) -> Profile:
    """Read a profile: the top of the file, or the table with this name.

    Raises:
        StartError: the file is malformed, or has no such table.
    """
    folder = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = Path(environment.get("SOTA_CTL_CONFIG") or folder / "sota" / "ctl.toml")
    try:
        content: dict[str, object] = tomllib.loads(path.read_text("utf-8-sig"))
        file = msgspec.convert(content, ProfileFile)
    except FileNotFoundError:
        file = ProfileFile()
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise StartError(f"{path}: {error}") from None
    if name is None:
        return file
    if name not in file.profiles:
        known = ", ".join(sorted(file.profiles)) or "none"
        raise StartError(f"{path} has no [profiles.{name}]; it has {known}")
    return file.profiles[name]


def _token(target: Target, profile: Profile, environment: Mapping[str, str]) -> str:
    if target.token_file is None and (token := environment.get("SOTA_TOKEN")):
        return token.strip()
    named = target.token_file or environment.get("SOTA_TOKEN_FILE") or profile.token_file
    if not named:
        raise StartError("no token: give --token-file, SOTA_TOKEN, SOTA_TOKEN_FILE, or token_file in the profile")
    return read_secret(Path(named).expanduser(), "the API token")


def _trust(url: str, target: Target, profile: Profile, environment: Mapping[str, str]) -> ssl.SSLContext | None:
    named = target.ca or environment.get("SOTA_CA") or profile.ca
    if not named or not url.startswith("https://"):
        return None
    try:
        return trusting(Path(named).expanduser())
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"{named} is no certificate to trust: {error.strerror or error}") from None
