"""Settings of SOTA Core."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec

from sota.core.transfers.dispatching.retry_store import Retry
from sota.core.transfers.sending.limits import Limits
from sota.kit.runtime.settings import Annotated, Meta, Port
from sota.kit.security.service_tls import ServedSettings, ServicesAuthority, ServicesCertificate, ServicesKey
from sota.kit.sql.settings import DatabaseUrl

Times = Annotated[int, Meta(ge=1, le=100)]
WithinAnHour = Annotated[float, Meta(gt=0, le=3600)]


class CoreSettings(ServedSettings, kw_only=True):
    """Everything that can be set for SOTA Core."""

    port: Annotated[Port, Meta(description="TCP port of the API; 0 takes a free one.")] = 8081
    callback_port: Annotated[Port, Meta(description="TCP port for the messages of our node; 0 takes a free one.")] = 0
    database: DatabaseUrl = "sqlite:///var/core.db"
    credentials_file: Annotated[Path, Meta(description="Who may call: TOML file of token hashes.")] = Path(
        "var/core-callers.toml"
    )
    authority: Annotated[
        Path, Meta(description="Folder of the authority for vehicles' identities (sota authority new); may be missing.")
    ] = Path("var/authority")
    identity_days: Annotated[int, Meta(ge=1, le=3650, description="Days for which a vehicle's identity is valid.")] = (
        825
    )
    revoked: Annotated[
        Path | None,
        Meta(
            description="The revocation list, which Core writes and its RVI node reads; DATA/revoked.txt if not given."
        ),
    ] = None
    repository: Annotated[str, Meta(description="Where package files are: a folder or s3://bucket/prefix.")] = (
        "var/packages"
    )
    resolver_url: Annotated[str, Meta(description="Address of the External Resolver.")] = "http://127.0.0.1:8082"
    resolver_token_file: Annotated[Path, Meta(description="File with our credential for the External Resolver.")] = (
        Path("var/core-to-resolver.token")
    )
    services_ca_file: ServicesAuthority = None
    services_certificate_file: ServicesCertificate = None
    services_certificate_key_file: ServicesKey = None
    node_url: Annotated[str, Meta(description="Service edge of the RVI Node Server.")] = "http://127.0.0.1:8801"
    callback_url: Annotated[
        str | None, Meta(description="How the node reaches our callback port; http://HOST:PORT of it where not given.")
    ] = None
    instance: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Name of this Core among several on one database.")
    ] = "core"
    accept_unidentified_peers: Annotated[
        bool, Meta(description="Accept messages without a sender (from a real rvi_core node).")
    ] = False
    block_size: Annotated[int, Meta(ge=1024, le=1 << 20, description="Bytes in a block.")] = 65_536
    window: Annotated[
        int, Meta(ge=1, le=256, description="Most blocks in flight to a vehicle; fewer where its link is slow.")
    ] = 8
    in_flight_bytes: Annotated[
        int,
        Meta(ge=0, description="Bytes in flight to all vehicles; windows shrink to share them, to one block each."),
    ] = 256 << 20
    transfers: Annotated[int, Meta(ge=0, description="Vehicles with a transfer at the same time; 0: no limit.")] = 5000
    transfers_per_request: Annotated[
        int, Meta(ge=0, description="The same for the vehicles of one install request; 0: no limit.")
    ] = 0
    bytes_per_s: Annotated[
        int, Meta(ge=0, description="Bytes of packages a second to all vehicles together; 0: no limit.")
    ] = 0
    request_bytes_per_s: Annotated[int, Meta(ge=0, description="The same for one install request; 0: no limit.")] = 0
    vehicle_bytes_per_s: Annotated[int, Meta(ge=0, description="The same for one vehicle; 0: no limit.")] = 0
    block_cache_bytes: Annotated[
        int, Meta(ge=0, le=1 << 40, description="Bytes of memory for the cache of encoded blocks.")
    ] = 64 << 20
    ack_timeout_s: Annotated[WithinAnHour, Meta(description="Seconds until an unanswered block is resent.")] = 30.0
    ack_commit_s: Annotated[
        float, Meta(gt=0, le=10, description="Seconds between two commits of what vehicles acknowledged.")
    ] = 0.25
    attempts: Annotated[Times, Meta(description="How often a block is sent before the download is aborted.")] = 5
    tries: Annotated[Times, Meta(description="How often an update of a silent vehicle is tried in total.")] = 3
    retry_pause_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds until it is tried again; doubles each time, up to a day.")
    ] = 900.0
    silence_s: Annotated[
        float,
        Meta(gt=0, le=366 * 86_400, description="Seconds of silence after which a running update fails."),
    ] = 7 * 86_400.0
    notify_retry_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds until an update is announced again; doubles up to an hour.")
    ] = 60.0
    gone_after_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="Seconds without a heartbeat after which another Core takes transfers over."),
    ] = 30.0
    lease_s: Annotated[
        float, Meta(ge=1, le=3600, description="Seconds for which a transfer stays this Core's without a sign of life.")
    ] = 120.0
    resolver_check_s: Annotated[
        WithinAnHour, Meta(description="Seconds between checks that the Resolver remembers the last fact.")
    ] = 10.0
    resolver_wait_s: Annotated[
        float,
        Meta(gt=0, le=25, description="Seconds that a request waits for the Resolver to learn what Core acknowledged."),
    ] = 10.0
    node_check_s: Annotated[
        WithinAnHour, Meta(description="Seconds between checks that the node knows our services.")
    ] = 10.0
    dispatch_interval_s: Annotated[float, Meta(gt=0, le=60, description="Seconds between checks for due updates.")] = (
        1.0
    )

    @property
    def retry(self) -> Retry:
        """How often an update whose vehicle falls silent is tried, and after which pauses."""
        return Retry(self.tries, timedelta(seconds=self.retry_pause_s))

    @property
    def limits(self) -> Limits:
        """Limits on concurrent transfers and on bytes a second."""
        return msgspec.convert(self, Limits, from_attributes=True)
