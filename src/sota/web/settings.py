"""The Web Server's settings: see ``sota web --help``."""

from __future__ import annotations

from pathlib import Path

from sota.kit.runtime.settings import Annotated, Meta
from sota.kit.security.service_tls import ServicesAuthority, ServicesCertificate, ServicesKey
from sota.kit.sql.settings import DatabaseSettings, DatabaseUrl


class WebSettings(DatabaseSettings, kw_only=True, forbid_unknown_fields=True):
    """The defaults suit a developer's machine: loopback, high ports, SQLite, a folder for packages."""

    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of plain HTTP; 0 takes a free one.")] = 8080
    https_port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of HTTPS; 0 takes a free one.")] = 8443
    plain_http: Annotated[
        str,
        Meta(
            pattern="^(redirect|serve)$",
            description="Plain HTTP elsewhere than on loopback: redirect to HTTPS, or serve the JSON API.",
        ),
    ] = "redirect"
    public_host: Annotated[
        str | None,
        Meta(
            pattern=r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$",
            description="Name, or name:port, that browsers are redirected to; default: the certificate's names.",
        ),
    ] = None
    connections_per_address: Annotated[
        int,
        Meta(ge=0, description="Connections from one address; 0: no limit, for use behind a reverse proxy."),
    ] = 256
    certificate_file: Annotated[
        Path | None,
        Meta(description="Certificate chain in PEM; without one a self-signed one is made at the first start."),
    ] = None
    certificate_key_file: Annotated[Path | None, Meta(description="The certificate's private key in PEM.")] = None

    database: DatabaseUrl = "sqlite:///var/web.db"

    core_url: Annotated[str, Meta(description="Address of SOTA Core.")] = "http://127.0.0.1:8081"
    core_token_file: Annotated[Path, Meta(description="File with the credential for SOTA Core.")] = Path(
        "var/web-core.token"
    )
    resolver_url: Annotated[str, Meta(description="Address of the External Resolver.")] = "http://127.0.0.1:8082"
    resolver_token_file: Annotated[Path, Meta(description="File with the credential for the External Resolver.")] = (
        Path("var/web-resolver.token")
    )
    services_ca_file: ServicesAuthority = None
    services_certificate_file: ServicesCertificate = None
    services_certificate_key_file: ServicesKey = None
    call_timeout_s: Annotated[float, Meta(gt=0, le=300, description="Time for Core or the Resolver to answer.")] = 30.0

    repository: Annotated[str, Meta(description="Where package files are kept: a folder, or s3://BUCKET/PREFIX.")] = (
        "var/packages"
    )
    max_package_bytes: Annotated[int, Meta(ge=1, description="Largest package file.")] = 16 << 30
    uploads_at_once: Annotated[
        int, Meta(ge=1, le=1000, description="Uploads at the same time; further ones get 503.")
    ] = 8
    upload_timeout_s: Annotated[float, Meta(gt=0, description="Time for a whole upload.")] = 6 * 3600.0
    upload_note_s: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="Seconds after which an upload's remains are deleted when its server was killed."
        ),
    ] = 40.0
    package_keys: Annotated[
        Path | None,
        Meta(
            description="Folder with the public keys (*.pub.pem) that may sign packages; signatures are then verified."
        ),
    ] = None
    require_signature: Annotated[bool, Meta(description="Refuse packages that no key in package_keys has signed.")] = (
        False
    )

    session_idle_s: Annotated[float, Meta(gt=0, description="Seconds after which an unused session ends.")] = 30 * 60.0
    session_limit_s: Annotated[float, Meta(gt=0, description="Seconds after which any session ends.")] = 12 * 3600.0
    intent_wait_s: Annotated[
        float, Meta(gt=0, le=300, description="How long a request waits for both registers before it answers 503.")
    ] = 20.0
    intent_retry_s: Annotated[
        float, Meta(gt=0, le=3600, description="Longest pause before an open registration is tried again.")
    ] = 30.0
