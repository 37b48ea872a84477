"""Settings of a program with a database: its URL, its password, and how the connection is encrypted.

>>> class CoreSettings(DatabaseSettings, kw_only=True):
...     database: DatabaseUrl = "sqlite:///var/core.db"

Separate from :mod:`sota.kit.sql.database`, so that settings can be read and printed without a database library.
"""

from __future__ import annotations

from pathlib import Path

from sota.kit.runtime.settings import Annotated, Meta, Settings

DatabaseUrl = Annotated[str, Meta(description="Database URL: sqlite:///file.db or mysql://user@host:3306/schema.")]


class DatabaseSettings(Settings, kw_only=True):
    """Settings of each program with a database; each has its own default for ``database``."""

    database: DatabaseUrl = "sqlite:///var/sota.db"
    database_password_file: Annotated[Path | None, Meta(description="File with the database user's password.")] = None
    database_ca_file: Annotated[
        Path | None,
        Meta(description="Authority of the MariaDB server's certificate (PEM); given, every connection is TLS."),
    ] = None
    database_certificate_file: Annotated[
        Path | None, Meta(description="Our certificate for the MariaDB server (PEM), where it asks for one.")
    ] = None
    database_certificate_key_file: Annotated[
        Path | None, Meta(description="That certificate's private key (PEM), if it is in a separate file.")
    ] = None
    database_wait_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that a start waits for a database that does not answer.")
    ] = 20.0
