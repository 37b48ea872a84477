"""Settings of the External Resolver."""

from __future__ import annotations

from pathlib import Path

from sota.kit.runtime.settings import Annotated, Meta, Port
from sota.kit.security.service_tls import ServedSettings
from sota.kit.sql.settings import DatabaseUrl


class ResolverSettings(ServedSettings, kw_only=True):
    """Settings of the External Resolver."""

    port: Annotated[Port, Meta(description="TCP port of the API; 0 takes a free one.")] = 8082
    database: DatabaseUrl = "sqlite:///var/resolver.db"
    credentials_file: Annotated[Path, Meta(description="Who may call: TOML file of token hashes.")] = Path(
        "var/resolver-callers.toml"
    )
    workers: Annotated[
        int, Meta(ge=1, le=64, description="How many computations run at once beside the event loop.")
    ] = 2
    index_processes: Annotated[
        int,
        Meta(ge=1, le=64, description="How many processes hold the index, each a part of the fleet; 1 is this one."),
    ] = 1
    snapshot_interval_s: Annotated[
        float, Meta(gt=0, le=86_400, description="How often the index is saved under the data folder, if it changed.")
    ] = 300.0
    kept_changes: Annotated[
        int, Meta(ge=10, le=10_000_000, description="Changes kept for other processes and for starts from a snapshot.")
    ] = 20_000
