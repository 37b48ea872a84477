"""Settings of a program: defaults, then a TOML file, then environment variables, then the command line; the last wins.

A program declares a ``msgspec.Struct`` whose fields are annotated with a description::

    class CoreSettings(Settings, kw_only=True):
        port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the API.")] = 8081

``[core] port = 9000`` in the file, ``SOTA_CORE_PORT=9000`` and ``--set port=9000`` set it. An unknown name is an
error, which suggests the nearest known one. Secrets are never settings themselves: a setting names the file that
holds one.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from sota.kit.errors import StartError

__all__ = ["Annotated", "Meta", "Port", "Seconds", "Settings", "describe", "load", "read_secret"]

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Settings of every program."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    operation_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of /healthz, /readyz and /metrics; 0 turns it off.")
    ] = 0
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="Least level of log events.")
    ] = "info"
    data: Annotated[Path, Meta(description="Folder for the program's data.")] = Path("var")


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(
    kind: type[AnySettings],
    program: str,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> AnySettings:
    """Read the settings of ``program`` (``core``, ``rvi-node``).

    Raises:
        StartError: an unreadable file, an unknown name, or an invalid value; it says which and where.
    """
    section = program.replace("-", "_")
    values: dict[str, Any] = {}  # Any: converted to each setting's type
    for origin, layer in (
        (str(file), _from_file(file, section, program)),
        ("the environment", _from_environment(kind, section, os.environ if environment is None else environment)),
        ("the command line", {key: value for key, value in (overrides or {}).items() if value is not None}),
    ):
        for key, value in layer.items():
            values[key] = _convert(kind, program, key, value, origin)
    try:
        return kind(**values)
    except TypeError as error:
        raise StartError(f"{program}: {error}") from None


def describe(kind: type[Settings], program: str) -> Iterator[tuple[str, str, str, str]]:
    """List the settings: name, environment variable, default, description."""
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            default = str(field.default)
        else:
            default = "" if field.default_factory is msgspec.NODEFAULT else str(field.default_factory())
        variable = f"SOTA_{program.replace('-', '_').upper()}_{field.name.upper()}"
        yield field.name, variable, default, _description(get_type_hints(kind, include_extras=True)[field.name])


def read_secret(path: Path, what: str) -> str:
    """Read a secret from its file.

    Raises:
        StartError: the file is missing, unreadable or empty.
    """
    try:
        secret = path.read_text("utf-8-sig").strip()
    except OSError as error:
        raise StartError(f"{what}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"{what}: {path} is not UTF-8 text") from None
    if not secret:
        raise StartError(f"{what}: {path} is empty")
    return secret


def _from_file(file: Path | None, section: str, program: str) -> dict[str, object]:
    if file is None:
        return {}
    try:
        document = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{file}: not TOML: {error}") from None
    table = document.get(section, document.get(program, {}))
    if not isinstance(table, dict):
        raise StartError(f"{file}: [{section}] must be a table")
    return table


def _from_environment(kind: type[Settings], section: str, environment: Mapping[str, str]) -> dict[str, object]:
    prefix = f"SOTA_{section.upper()}_"
    names = {field.name for field in msgspec.structs.fields(kind)}
    found = {key[len(prefix) :].lower(): value for key, value in environment.items() if key.startswith(prefix)}
    return {key: value for key, value in found.items() if key in names}


def _convert(kind: type[Settings], program: str, key: str, value: object, origin: str) -> object:
    hints = get_type_hints(kind, include_extras=True)
    if key not in hints:
        near = difflib.get_close_matches(key, hints, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise StartError(f"{origin}: {program} has no setting {key!r}{hint}")
    if isinstance(value, str) and _is_sequence(hints[key]):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hints[key], strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise StartError(f"{origin}: {program} setting {key!r}: {error}") from None


def _is_sequence(hint: object) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) in (tuple, list)


def _decode_path(kind: type, value: str) -> Path:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


def _description(hint: object) -> str:
    metas = [argument for argument in get_args(hint)[1:] if isinstance(argument, Meta)]
    return next((meta.description for meta in metas if meta.description), "")
