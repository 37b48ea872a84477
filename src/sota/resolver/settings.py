"""Settings of the External Resolver."""

from __future__ import annotations

from pathlib import Path

from sota.kit.settings import Annotated, Meta, Settings


class ResolverSettings(Settings, kw_only=True):
    """What the External Resolver can be told."""

    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the API; 0 takes a free one.")] = 8082
    database: Annotated[str, Meta(description="Database URL: sqlite:///file.db or mysql://user@host:3306/schema.")] = (
        "sqlite:///var/resolver.db"
    )
    database_password_file: Annotated[Path | None, Meta(description="File with the database's password.")] = None
    credentials_file: Annotated[Path, Meta(description="Who may call: TOML file of token hashes.")] = Path(
        "var/resolver-callers.toml"
    )
    workers: Annotated[
        int, Meta(ge=1, le=64, description="How many computations run at once beside the event loop.")
    ] = 2
    scan_size: Annotated[int, Meta(ge=1, le=100_000, description="Vehicles looked at in one step of a resolve.")] = (
        5_000
    )
