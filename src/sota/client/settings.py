"""Settings of a SOTA Client: see ``sota client --help``."""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.values import Vin
from sota.kit.runtime.settings import Annotated, Meta, Settings


class ClientSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Settings; every path is the vehicle's own."""

    vin: Annotated[Vin, Meta(description="The vehicle's VIN.")]
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port for the Software Loading Manager.")] = 9101
    callback_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port for the messages of our node; 0 takes a free one.")
    ] = 0
    data: Annotated[Path, Meta(description="Folder for the state and blocks of downloads.")] = Path("var/client")
    node_url: Annotated[str, Meta(description="Service edge of the vehicle's RVI node.")] = "http://127.0.0.1:9001"
    callback_url: Annotated[
        str, Meta(description="Address at which the node reaches our callback port; default http://HOST:PORT.")
    ] = ""
    slm_url: Annotated[str, Meta(description="Address of the Software Loading Manager.")] = "http://127.0.0.1:9102"
    slm_token_file: Annotated[Path, Meta(description="File with our token for the Software Loading Manager.")] = Path(
        "var/identity/client.token"
    )
    credentials_file: Annotated[Path, Meta(description="File with the hashes of the tokens that may call us.")] = Path(
        "var/identity/client.credentials.toml"
    )
    identity: Annotated[
        Path | None, Meta(description="Folder of the node's identity, for its renewal; not set: no renewal.")
    ] = None
    identity_check_s: Annotated[
        float, Meta(gt=0, le=30 * 86_400, description="Interval of reports of the vehicle's identity to Core.")
    ] = 86_400.0
    identity_first_check_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Time of the first such report after a start.")
    ] = 60.0
    keys: Annotated[Path, Meta(description="Folder with the public keys (*.pub.pem) that may sign packages.")] = Path(
        "var/keys"
    )
    allow_unsigned: Annotated[bool, Meta(description="Accept packages without a signature. For a laboratory only.")] = (
        False
    )
    quota_bytes: Annotated[int, Meta(ge=1, description="Bytes that downloads may take on disk.")] = 16 << 30
    register_s: Annotated[
        float, Meta(gt=0, le=3600, description="Interval of checks that the node still knows our services.")
    ] = 10.0
    retry_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="First pause before a message to Core is repeated; it doubles each time."),
    ] = 10.0
    retry_max_s: Annotated[float, Meta(gt=0, le=86_400, description="Longest pause before it is repeated.")] = 900.0
    local_retry_s: Annotated[
        float, Meta(gt=0, le=3600, description="First pause before the Software Loading Manager is called again.")
    ] = 1.0
    local_retry_max_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest pause before it is called again.")
    ] = 60.0
    software_check_s: Annotated[
        float, Meta(gt=0, le=7 * 86_400, description="Interval of checks for software that was changed locally.")
    ] = 3600.0
    resume_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Without a block for this time, stored blocks are acknowledged again.")
    ] = 60.0
    resume_attempts: Annotated[
        int,
        Meta(ge=1, le=1000, description="How often they are acknowledged again; a new connection resets the count."),
    ] = 5
    idle_timeout_s: Annotated[
        float, Meta(gt=0, description="Without a block for this time, while the client runs, a download fails.")
    ] = 7 * 86_400.0
