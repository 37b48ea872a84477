"""Settings of a SOTA Client: see ``sota client --help``."""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.values import Vin
from sota.kit.runtime.settings import Annotated, Meta, Port, Seconds, Settings


class ClientSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Settings; every path is the vehicle's own."""

    vin: Annotated[Vin, Meta(description="The vehicle's VIN.")]
    port: Annotated[Port, Meta(description="TCP port for the Software Loading Manager.")] = 9101
    callback_port: Annotated[Port, Meta(description="TCP port for messages of our node; 0 takes a free one.")] = 0
    data: Annotated[Path, Meta(description="Folder for the state and blocks of downloads.")] = Path("var/client")
    node_url: Annotated[str, Meta(description="Service edge of the vehicle's RVI node.")] = "http://127.0.0.1:9001"
    callback_url: Annotated[str, Meta(description="Our callback address for the node; default http://HOST:PORT.")] = ""
    slm_url: Annotated[str, Meta(description="Address of the Software Loading Manager.")] = "http://127.0.0.1:9102"
    slm_token_file: Annotated[Path, Meta(description="File with our token for the Software Loading Manager.")] = Path(
        "var/identity/client.token"
    )
    credentials_file: Annotated[Path, Meta(description="File with the hashes of the tokens that may call us.")] = Path(
        "var/identity/client.credentials.toml"
    )
    identity: Annotated[Path | None, Meta(description="Folder of the node's identity, to renew it; not set: no.")] = (
        None
    )
    identity_check_s: Annotated[
        float, Meta(gt=0, le=30 * 86_400, description="Interval of reports of the vehicle's identity to Core.")
    ] = 86_400.0
    identity_first_check_s: Annotated[Seconds, Meta(description="Time of the first such report after a start.")] = 60.0
    keys: Annotated[Path, Meta(description="Folder of the public keys (*.pub.pem) that sign packages.")] = Path(
        "var/keys"
    )
    allow_unsigned: Annotated[bool, Meta(description="Accept unsigned packages. For a laboratory only.")] = False
    quota_bytes: Annotated[int, Meta(ge=1, description="Bytes that downloads may take on disk.")] = 16 << 30
    register_s: Annotated[float, Meta(gt=0, le=3600, description="Interval to check our services at the node.")] = 10.0
    retry_s: Annotated[float, Meta(gt=0, le=3600, description="First pause before a message to Core is repeated.")] = (
        10.0
    )
    retry_max_s: Annotated[Seconds, Meta(description="Longest pause before it is repeated.")] = 900.0
    local_retry_s: Annotated[float, Meta(gt=0, le=3600, description="First pause before the next local call.")] = 1.0
    local_retry_max_s: Annotated[Seconds, Meta(description="Longest pause before the next local call.")] = 60.0
    software_check_s: Annotated[
        float, Meta(gt=0, le=7 * 86_400, description="Interval of checks for software that was changed locally.")
    ] = 3600.0
    resume_s: Annotated[Seconds, Meta(description="After this time without a block, acknowledge again.")] = 60.0
    resume_attempts: Annotated[
        int,
        Meta(ge=1, le=1000, description="How often to acknowledge again; a new connection resets the count."),
    ] = 5
    idle_timeout_s: Annotated[
        float, Meta(gt=0, description="Without a block for this time, while the client runs, a download fails.")
    ] = 7 * 86_400.0
