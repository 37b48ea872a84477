"""The driver's consent, once per update: requested, deferred within limits, given or refused; durable before it counts.

Rules kept here:

* an update that requires consent starts only with it; any other update never waits;
* it can be deferred ``max_deferrals`` times and for ``max_defer_s`` in total, counted from the first question. Then the
  driver is asked again and can only accept or decline;
* both answers are final;
* durations are counted by ``running_time.py``, because the vehicle's clock may be changed at any moment. Times for
  people are computed from them when they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sota.boundaries.b7_core_rvi.messages import UpdateAvailable
from sota.boundaries.b10_client_slm.messages import ConsentQuestion, Decision, Waiting
from sota.kit.errors import Invalid, NotFound, Refused
from sota.kit.files.set_aside import read_stored
from sota.kit.sql.local_database import Row
from sota.kit.sql.local_file import Connection
from sota.slm.entry import OPEN
from sota.slm.journal import Journal
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings


@dataclass(frozen=True, slots=True)
class Consent:
    """The driver's answer to an update. Times are those of :attr:`RunningTime.passed`."""

    asked_at: float
    decision: Decision | None
    deferred_until: float | None
    deferrals: int

    def waits_for(self, now: float) -> Waiting | None:
        """Return what the update waits for; None if it may start."""
        if self.decision is Decision.ACCEPT:
            return None
        return Waiting.DEFERRAL if self.deferred_until is not None and now < self.deferred_until else Waiting.CONSENT

    def defer_until(self, wait_s: float | None, now: float, settings: SlmSettings) -> float:
        """Return the time until which the update is deferred; ``wait_s`` is the driver's request.

        Raises:
            Invalid: it is not in the future.
            Refused: ``not_deferrable``: too often, or too late.
        """
        latest = self.asked_at + settings.max_defer_s
        if self.deferrals >= settings.max_deferrals or now >= latest:
            raise Refused("not_deferrable", "The update cannot be deferred any more: accept or decline it.")
        if wait_s is None:
            return min(now + settings.defer_s, latest)
        if wait_s <= 0:
            raise Invalid("The time until which the update is deferred must be in the future.")
        if now + wait_s > latest:
            raise Refused("not_deferrable", f"The update can be deferred for {latest - now:.0f} s more at most.")
        return now + wait_s


class Consents:
    """The journal's table ``consent``."""

    def __init__(self, settings: SlmSettings, journal: Journal, running: RunningTime) -> None:
        self._settings, self._journal, self._running = settings, journal, running
        self._database = journal.database

    async def waits_for(self, update: UpdateAvailable) -> tuple[Waiting | None, float | None]:
        """Return what an update waits for, and for how many seconds at most, if known."""
        if not update.request_confirmation:
            return None, None
        consent, now = await self._ask(update.update_id), self._running.passed
        if consent.decision is None:
            await self._running.keep()
        waiting = consent.waits_for(now)
        left = consent.deferred_until - now if waiting is Waiting.DEFERRAL and consent.deferred_until else None
        return waiting, left

    async def decision(self, update_id: str) -> Decision | None:
        """Return the driver's final answer, if there is one."""
        consent = await self._database.read(lambda tx: _find(tx, update_id))
        return consent.decision if consent else None

    async def questions(self) -> list[ConsentQuestion]:
        """Return the updates that wait for the driver, deferred ones too, the oldest first."""
        questions = []
        for update in await self._journal.unfinished():
            if update.request_confirmation:
                consent = await self._ask(update.update_id)
                if consent.decision is None:
                    questions.append(_question(update, consent, self._settings, self._running))
        return questions

    async def decide(self, update_id: str, decision: Decision, until: datetime | None) -> None:
        """Record the driver's answer; repeating a final answer changes nothing.

        Raises:
            NotFound: there is no such update, or it does not require consent.
            Refused: ``decided`` or ``not_deferrable``.
            Invalid: the update cannot be deferred until that time.
        """
        update = await self._journal.update(update_id)
        if update is None or not update.request_confirmation:
            raise NotFound(f"No update {update_id} asks for consent.")
        await self._ask(update_id)
        now = self._running.passed
        wait_s = until.timestamp() - self._running.clock if until else None

        def work(tx: Connection) -> None:
            consent = _find(tx, update_id)
            if consent is None or consent.decision is decision:
                return
            query = f"SELECT 1 FROM accepted_download WHERE update_id = ? AND {OPEN}"
            if consent.decision is not None or tx.execute(query, (update_id,)).fetchone() is None:
                raise Refused("decided", f"Update {update_id} has ended or was answered: {consent.decision}.")
            if decision is Decision.DEFER:
                later = consent.defer_until(wait_s, now, self._settings)
                query = "UPDATE consent SET deferred_until = ?, deferrals = deferrals + 1 WHERE update_id = ?"
                tx.execute(query, (later, update_id))
            else:
                query = "UPDATE consent SET decision = ?, decided_at = ?, deferred_until = NULL WHERE update_id = ?"
                tx.execute(query, (decision, now, update_id))

        await self._database.transact(work)

    async def _ask(self, update_id: str) -> Consent:
        """Return the answer to an update; the first call counts as the question."""
        found = await self._database.read(lambda tx: _find(tx, update_id))
        if found is not None:
            return found
        now = self._running.passed

        def work(tx: Connection) -> Consent:
            query = "INSERT INTO consent(update_id, asked_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
            tx.execute(query, (update_id, now))
            return _find(tx, update_id) or Consent(now, None, None, 0)

        return await self._database.transact(work)


def _find(tx: Connection, update_id: str) -> Consent | None:
    row: Row | None = tx.execute("SELECT * FROM consent WHERE update_id = ?", (update_id,)).fetchone()
    if row is None:
        return None
    decision = read_stored(Decision, row["decision"]) if row["decision"] else None
    return Consent(row["asked_at"], decision, row["deferred_until"], row["deferrals"])


def _question(
    update: UpdateAvailable, consent: Consent, settings: SlmSettings, running: RunningTime
) -> ConsentQuestion:
    now = running.passed
    since_1970 = running.clock - now
    left = max(0, settings.max_deferrals - consent.deferrals)
    latest = consent.asked_at + settings.max_defer_s
    deferred = consent.deferred_until if consent.waits_for(now) is Waiting.DEFERRAL else None
    return ConsentQuestion(
        update_id=update.update_id,
        description=update.description,
        packages=[download.package for download in update.downloads],
        size=sum(download.size for download in update.downloads),
        asked_at=_instant(consent.asked_at + since_1970),
        deferrals_left=left,
        defer_until=_instant(latest + since_1970) if left and now < latest else None,
        deferred_until=_instant(deferred + since_1970) if deferred is not None else None,
    )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), UTC)
