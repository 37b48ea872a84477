"""Settings of the External Resolver."""

from __future__ import annotations

from pathlib import Path

from sota.kit.database_settings import DatabaseSettings, DatabaseUrl
from sota.kit.settings import Annotated, Meta


class ResolverSettings(DatabaseSettings, kw_only=True):
    """What the External Resolver can be told."""

    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the API; 0 takes a free one.")] = 8082
    database: DatabaseUrl = "sqlite:///var/resolver.db"
    credentials_file: Annotated[Path, Meta(description="Who may call: TOML file of token hashes.")] = Path(
        "var/resolver-callers.toml"
    )
    workers: Annotated[
        int, Meta(ge=1, le=64, description="How many computations run at once beside the event loop.")
    ] = 2
    scan_size: Annotated[int, Meta(ge=1, le=100_000, description="Vehicles looked at in one step of a resolve.")] = (
        5_000
    )
