"""TLS to MariaDB as a setting: with an authority given, nothing goes over the wire in the clear, and no server is
believed that the authority does not know.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import uvloop

from sota.kit.errors import StartError
from sota.kit.sql.database import Database
from sota.kit.sql.settings import DatabaseSettings
from tests.support.certificates import Signer
from tests.support.databases import MariaDbServer, running_mariadb

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def signer(folder: Path) -> Signer:
    return Signer(folder)


@pytest.fixture(scope="module")
def server(signer: Signer) -> Iterator[MariaDbServer]:
    """A server with a certificate; it believes clients whose certificate the same authority signed."""
    pair = signer.issue("server")
    with running_mariadb(
        f"--ssl-ca={signer.file}", f"--ssl-cert={pair.certificate}", f"--ssl-key={pair.key}"
    ) as server:
        yield server


async def cipher(database: Database) -> str:
    """Check the connection as a start does; return the cipher that the server sees, empty without one."""
    try:
        await database.check()
        async with database.read() as tx:
            return str((await tx.execute(sa.text("SHOW STATUS LIKE 'Ssl_cipher'"))).one()[1])
    finally:
        await database.close()


async def refusal(settings: DatabaseSettings) -> str:
    """Return the line with which a start fails; it must fail at once."""
    database = Database.of(settings)
    try:
        with pytest.raises(StartError) as caught:
            async with asyncio.timeout(15):
                await database.check(wait_s=60)
    finally:
        await database.close()
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.detail
    return caught.value.detail


async def test_authority_given_encrypts(server: MariaDbServer, signer: Signer) -> None:
    url = server.new_schema(require="REQUIRE SSL")
    assert await cipher(Database.of(DatabaseSettings(database=url, database_ca_file=signer.file))) != ""


def test_authority_given_encrypts_on_the_programs_own_loop(server: MariaDbServer, signer: Signer) -> None:
    async def connect() -> str:
        return await cipher(Database.of(DatabaseSettings(database=url, database_ca_file=signer.file)))

    url = server.new_schema(require="REQUIRE SSL")
    assert uvloop.run(connect()) != ""


async def test_nothing_given_does_not_encrypt_and_is_refused_where_the_server_asks_for_it(
    server: MariaDbServer,
) -> None:
    assert await cipher(Database.of(DatabaseSettings(database=server.new_schema()))) == ""
    line = await refusal(DatabaseSettings(database=server.new_schema(require="REQUIRE SSL")))
    assert "rejects the connection" in line


async def test_own_certificate_is_shown(server: MariaDbServer, signer: Signer) -> None:
    pair, url = signer.issue("core"), server.new_schema(require="REQUIRE X509")
    settings = DatabaseSettings(
        database=url,
        database_ca_file=signer.file,
        database_certificate_file=pair.certificate,
        database_certificate_key_file=pair.key,
    )
    assert await cipher(Database.of(settings)) != ""
    assert "rejects the connection" in await refusal(DatabaseSettings(database=url, database_ca_file=signer.file))


async def test_server_of_another_authority_is_not_believed(server: MariaDbServer, folder: Path) -> None:
    other = Signer(folder, "other")
    line = await refusal(DatabaseSettings(database=server.new_schema(), database_ca_file=other.file))
    assert "has a certificate that is not trusted: " in line


async def test_server_of_another_name_is_not_believed(server: MariaDbServer, signer: Signer) -> None:
    url = sa.make_url(server.new_schema()).set(host="localhost").render_as_string(hide_password=False)
    line = await refusal(DatabaseSettings(database=url, database_ca_file=signer.file))
    assert "has a certificate that is not trusted: Hostname mismatch" in line


async def test_server_without_tls_gets_nothing_in_the_clear(mariadb_server: MariaDbServer, signer: Signer) -> None:
    settings = DatabaseSettings(database=mariadb_server.new_schema(), database_ca_file=signer.file, database_wait_s=1)
    assert "TLS" in await refusal(settings)


@pytest.mark.parametrize("program", ["web", "core", "resolver"])
def test_command_uses_the_settings(server: MariaDbServer, signer: Signer, program: str, tmp_path: Path) -> None:
    url, table = server.new_schema(require="REQUIRE SSL"), f"[{program}]\n"
    right, wrong = tmp_path / "right.toml", tmp_path / "wrong.toml"
    right.write_text(f'{table}database = "{url}"\ndatabase_ca_file = "{signer.file}"\n')
    wrong.write_text(f'{table}database = "{url}"\ndatabase_ca_file = "{Signer(tmp_path, "other").file}"\n')
    command = [sys.executable, "-m", "sota.cli", "db", "upgrade", program, "--config"]
    ends = [
        subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60, check=False)
        for file in (right, wrong)
    ]
    assert [end.returncode for end in ends] == [0, 2], ends
    assert "is at the newest revision" in ends[0].stdout
    (line,) = ends[1].stderr.splitlines()
    assert "has a certificate that is not trusted" in line


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"database_ca_file": "nowhere.pem"}, "database_ca_file: cannot use nowhere.pem: No such file"),
        ({"database_ca_file": __file__}, "not such a file in PEM"),
        ({"database_certificate_file": "a.pem"}, "set database_ca_file too"),
        ({"database": "sqlite:///:memory:", "database_ca_file": "a.pem"}, "certificates are for MariaDB"),
        ({"database_password_file": "nowhere"}, "cannot read nowhere"),
        ({"database": "mysql://sota:a-secret@127.0.0.1:no-port/sota"}, "not a database URL: write sqlite:///file.db"),
        ({"database": "nonsense a-secret"}, "not a database URL"),
    ],
)
def test_setting_that_cannot_be_used_is_told_in_one_line(settings: dict[str, str], says: str) -> None:
    given = {name: value if name == "database" else Path(value) for name, value in settings.items()}
    with pytest.raises(StartError) as caught:
        Database.of(DatabaseSettings(**{"database": "mysql://sota@127.0.0.1/sota", **given}))  # type: ignore[arg-type]
    assert says in caught.value.detail
    assert "a-secret" not in caught.value.detail
    assert "\n" not in caught.value.detail


async def test_file_that_cannot_be_made_is_told_in_one_line() -> None:
    database = Database.of(DatabaseSettings(database="sqlite:////proc/no/such/sota.db"))
    with pytest.raises(StartError, match="cannot make /proc/no") as caught:
        await database.check()
    await database.close()
    assert (caught.value.exit_code, "\n" in caught.value.detail) == (2, False)


async def test_password_of_any_letters(server: MariaDbServer) -> None:
    url = sa.make_url(server.new_schema())
    server.execute(f"SET PASSWORD FOR {url.username}@'127.0.0.1' = PASSWORD('Grüße, 世界')")
    database = Database(url.set(password="Grüße, 世界").render_as_string(hide_password=False))
    assert await cipher(database) == ""
