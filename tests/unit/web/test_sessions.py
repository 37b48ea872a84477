"""Sessions and signing in, with a clock that the test holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from sota.boundaries.interaction import Role
from sota.kit.errors import Invalid, TooMany
from sota.kit.http.connection_limits import network_of
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.web.accounts.service import add_account, ensure_admin, issue_token
from sota.web.sessions.model import (
    ACCOUNT,
    ENROLMENTS,
    FIRST_TRIES,
    KNOWN_FOR,
    PAIR,
    Attempt,
    buckets,
    is_own_path,
    read_cookie,
    read_known_mark,
    read_return_path,
    set_known_cookie,
    sign_return_path,
)
from sota.web.sessions.model import ADDRESS as WHOLE_ADDRESS
from sota.web.sessions.service import Sessions
from sota.web.sessions.store import count_attempt
from sota.web.sessions.throttle import EnrolmentThrottle
from sota.web.tables import ACCOUNT as ACCOUNT_TABLE
from sota.web.tables import API_TOKEN, SESSION

pytestmark = pytest.mark.slow

KEY = b"k" * 32
ADDRESS = "192.0.2.1"
PASSWORD = "a password of these tests"


@dataclass
class HeldClock:
    """A clock that moves only when the test sets it."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 3, 1, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def pass_time(self, **spans: float) -> None:
        self.moment += timedelta(**spans)


@pytest.fixture(scope="module")
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await upgrade(database, "sota.web.migrations")
    await add_account(database, "alice", Role.OPERATOR, "a password of alice")
    yield database
    await database.close()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def sessions(db: Database, clock: HeldClock) -> Sessions:
    return Sessions(db, clock, idle_s=1800, limit_s=12 * 3600)


async def sign_in(sessions: Sessions, address: str = ADDRESS, *, replaces: str | None = None) -> str:
    session = await sessions.sign_in(Attempt("alice", address), "a password of alice", replaces=replaces)
    assert session is not None
    return session.token


async def test_session_ends_when_it_is_not_used(sessions: Sessions, clock: HeldClock) -> None:
    token = await sign_in(sessions)
    clock.pass_time(minutes=29)
    assert await sessions.find(token) is not None
    clock.pass_time(minutes=29)
    assert await sessions.find(token) is not None
    clock.pass_time(minutes=30)
    assert await sessions.find(token) is None


async def test_session_ends_after_twelve_hours_however_used(sessions: Sessions, clock: HeldClock) -> None:
    token = await sign_in(sessions)
    for _ in range(35):
        clock.pass_time(minutes=20)
        assert await sessions.find(token) is not None
    clock.pass_time(minutes=20)
    assert await sessions.find(token) is None


async def test_signing_in_ends_the_session_of_the_cookie_before(sessions: Sessions) -> None:
    planted = await sign_in(sessions)
    fresh = await sign_in(sessions, replaces=planted)
    assert await sessions.find(planted) is None
    assert await sessions.find(fresh) is not None


async def test_failures_make_the_next_try_wait_longer_and_longer(sessions: Sessions, clock: HeldClock) -> None:
    address, waits = "192.0.2.2", []
    for _ in range(PAIR.forgiven + 3):
        assert await sessions.sign_in(Attempt("alice", address), "wrong", replaces=None) is None
        try:
            await sessions.sign_in(Attempt("alice", address), "a password of alice", replaces=None)
        except TooMany as error:
            waits.append(int(error.headers["retry-after"]))
            clock.pass_time(seconds=waits[-1])
        else:
            break
    # Signing in well after fewer failures forgives them.
    assert waits == []
    for _ in range(PAIR.forgiven + 1):
        assert await sessions.sign_in(Attempt("alice", address), "wrong", replaces=None) is None
    for expected in (1, 2, 4, 8):
        with pytest.raises(TooMany):
            await sessions.sign_in(Attempt("alice", address), "a password of alice", replaces=None)
        clock.pass_time(seconds=expected)
        assert await sessions.sign_in(Attempt("alice", address), "wrong", replaces=None) is None


async def test_a_wait_that_a_wrong_clock_wrote_ends_when_the_clock_is_set_right(
    sessions: Sessions, clock: HeldClock
) -> None:
    address = "192.0.2.77"
    clock.pass_time(days=365)
    for _ in range(PAIR.forgiven + 1):
        await sessions.sign_in(Attempt("alice", address), "wrong", replaces=None)
    with pytest.raises(TooMany):
        await sign_in(sessions, address)
    clock.pass_time(days=-365)

    assert await sign_in(sessions, address)


async def test_an_attacked_account_is_open_again_after_half_a_minute(
    db: Database, sessions: Sessions, clock: HeldClock
) -> None:
    for number in range(ACCOUNT.forgiven + 12):
        clock.pass_time(seconds=31)
        guess = partial(count_attempt, attempt=Attempt("alice", f"198.51.100.{number}"), now=clock.now())
        await db.transact(guess)
    with pytest.raises(TooMany):
        await sign_in(sessions, "203.0.113.9")
    clock.pass_time(seconds=30)
    assert await sign_in(sessions, "203.0.113.9")


async def test_known_browser_gets_in_however_long_others_guess_from_its_own_address_too(
    db: Database, sessions: Sessions, clock: HeldClock
) -> None:
    await add_account(db, "dave", Role.VIEWER, PASSWORD)
    address = "192.0.2.88"
    for number in range(ACCOUNT.forgiven + 12):
        clock.pass_time(seconds=31)
        for guesser in (address, f"198.51.100.{number}"):
            await db.transact(partial(count_attempt, attempt=Attempt("dave", guesser), now=clock.now()))
    unknown, known = Attempt("dave", address), Attempt("dave", address, "a mark")
    with pytest.raises(TooMany):
        await sessions.sign_in(unknown, PASSWORD, replaces=None)
    assert await sessions.sign_in(known, PASSWORD, replaces=None) is not None
    with pytest.raises(TooMany):  # which changes nothing for those who guess
        await sessions.sign_in(unknown, PASSWORD, replaces=None)


async def test_known_browser_cannot_guess_for_ever_either(sessions: Sessions, clock: HeldClock) -> None:
    known = Attempt("alice", "192.0.2.9", "another mark")
    for _ in range(PAIR.forgiven + 1):
        assert await sessions.sign_in(known, "wrong", replaces=None) is None
    with pytest.raises(TooMany):
        await sessions.sign_in(known, "a password of alice", replaces=None)
    assert await sign_in(sessions, "192.0.2.9"), "what fails under a mark counts there alone"


async def test_failures_of_others_at_one_address_lock_out_no_account_that_they_did_not_try(
    db: Database, sessions: Sessions, clock: HeldClock
) -> None:
    address = "192.0.2.60"
    for number in range(WHOLE_ADDRESS.forgiven + 10):
        guess = Attempt(f"name-{number}", address)
        await db.transact(partial(count_attempt, attempt=guess, now=clock.now()))
    assert await sign_in(sessions, address)
    assert await sessions.sign_in(Attempt("alice", address), "wrong", replaces=None) is None
    with pytest.raises(TooMany):  # once: further guesses wait as the address does
        await sign_in(sessions, address)


async def test_first_tries_at_many_names_from_one_address_are_slowed_down(
    db: Database, sessions: Sessions, clock: HeldClock
) -> None:
    address = "192.0.2.61"
    for number in range(WHOLE_ADDRESS.forgiven + 10):
        await db.transact(partial(count_attempt, attempt=Attempt(f"n-{number}", address), now=clock.now()))
    for number in range(FIRST_TRIES.forgiven + 1):
        assert await sessions.sign_in(Attempt(f"other-{number}", address), "wrong", replaces=None) is None
    with pytest.raises(TooMany) as refused:
        await sign_in(sessions, address)
    assert int(refused.value.headers["retry-after"]) <= FIRST_TRIES.longest.total_seconds()
    clock.pass_time(seconds=FIRST_TRIES.longest.total_seconds())
    assert await sign_in(sessions, address)


async def test_refused_enrolments_of_one_address_are_slowed_down(db: Database, clock: HeldClock) -> None:
    throttle, address = EnrolmentThrottle(db, clock), "192.0.2.62"
    for _ in range(ENROLMENTS.forgiven + 1):
        await throttle.check(address)
        await throttle.count(address)
    with pytest.raises(TooMany) as refused:
        await throttle.check(address)
    assert refused.value.headers == {"retry-after": "2"}
    await throttle.check("192.0.2.63")
    clock.pass_time(seconds=1)
    await throttle.check(address)


async def test_own_password_can_be_changed_while_others_guess_at_it(
    db: Database, sessions: Sessions, clock: HeldClock
) -> None:
    await add_account(db, "carol", Role.VIEWER, PASSWORD)
    for number in range(ACCOUNT.forgiven + 5):
        guess = Attempt("carol", f"198.51.100.{number}")
        await db.transact(partial(count_attempt, attempt=guess, now=clock.now()))
    assert await sessions.change_password("carol", PASSWORD, f"not {PASSWORD}", ADDRESS)


@pytest.mark.parametrize("name", ["alice ", "alice  ", " alice", "ALICE", "alice" + 60 * "x"])
async def test_name_that_is_not_the_account_s_own_signs_no_user_in(db: Database, sessions: Sessions, name: str) -> None:
    attempt = Attempt(name, "192.0.2.77")
    assert await sessions.sign_in(attempt, "a password of alice", replaces=None) is None
    assert await sessions.known_name(name) is None


def test_addresses_of_one_customer_count_as_one() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9") != network_of("2001:db8:1:3::1")
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") != network_of("192.0.2.2")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")
    assert network_of("") == ""
    one, other = Attempt("alice", "2001:db8::1"), Attempt("alice", "2001:db8::2")
    assert buckets(one) == buckets(other)


def test_mark_counts_for_its_account_and_its_time_alone() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    shown = set_known_cookie("alice", now, KEY).partition("=")[2].partition(";")[0]
    mark = read_known_mark(shown, "alice", now, KEY)
    assert mark is not None
    assert read_known_mark(shown, "alice", now + KNOWN_FOR - timedelta(seconds=1), KEY) == mark
    assert read_known_mark(shown, "alice", now + KNOWN_FOR, KEY) is None
    assert read_known_mark(shown, "bob", now, KEY) is None
    assert read_known_mark(shown, "alice", now, b"x" * 32) is None
    for other in ("", ".", "..", "a.b.c", f"9{shown}", shown[:-1], f"{shown}0", mark):
        assert read_known_mark(other, "alice", now, KEY) is None


async def test_unknown_names_are_counted_like_known_ones(sessions: Sessions) -> None:
    for _ in range(PAIR.forgiven + 1):
        assert await sessions.sign_in(Attempt("nobody", "192.0.2.3"), "wrong", replaces=None) is None
    with pytest.raises(TooMany):
        await sessions.sign_in(Attempt("nobody", "192.0.2.3"), "wrong", replaces=None)


async def test_nothing_secret_stands_in_the_database(db: Database, sessions: Sessions) -> None:
    password = await ensure_admin(db)
    assert password is None  # alice is there: no second first account
    session, api_token = await sign_in(sessions), await issue_token(db, Role.VIEWER, "tests")
    async with db.read() as tx:
        rows = [*await tx.execute(sa.select(SESSION)), *await tx.execute(sa.select(API_TOKEN))]
        hashes = (await tx.execute(sa.select(ACCOUNT_TABLE.c.password_hash))).scalars().all()
    kept = " ".join(str(value) for row in rows for value in row)
    assert session not in kept
    assert api_token not in kept
    assert all(hashed.startswith("$argon2id$") for hashed in hashes)


async def test_short_passwords_and_odd_names_are_refused(db: Database) -> None:
    for name, password in (("bob", "too short"), ("bob smith", "long enough for us"), ("", "long enough for us")):
        with pytest.raises(Invalid):
            await add_account(db, name, Role.VIEWER, password)


@pytest.mark.parametrize("path", ["/", "/index.html", "/?regex=%5EWVW&cursor=abc"])
def test_own_paths_are_signed_and_read_back(path: str) -> None:
    assert is_own_path(path)
    assert read_return_path(sign_return_path(path, KEY), KEY) == path


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "",
        "/a\r\nset-cookie: x=y",
        "/\t/evil",
        "/ä",
    ],
)
def test_other_paths_are_followed_under_no_signature(path: str) -> None:
    assert not is_own_path(path)
    assert read_return_path(sign_return_path(path, KEY), KEY) is None


def test_signature_of_another_key_is_refused() -> None:
    signed = sign_return_path("/", KEY)
    assert read_return_path(signed, b"another key") is None
    assert read_return_path(signed[:-1] + "x", KEY) is None
    assert read_return_path("ä.ö", KEY) is None


def test_a_cookie_that_stands_twice_is_refused() -> None:
    assert read_cookie("a=1; __Host-sota=x", "__Host-sota") == "x"
    assert read_cookie("__Host-sota=x; __Host-sota=y", "__Host-sota") is None
    assert read_cookie("__Host-sota=", "__Host-sota") is None
