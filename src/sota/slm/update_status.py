"""The status of an update, from the states of its downloads. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b10_client_slm.messages import DownloadProgress, VehicleUpdate
from sota.boundaries.values import OutcomeReport, Stage, UpdateStatus
from sota.slm.entry import DownloadEntry, State

STAGES = {
    State.OFFERED: Stage.NOTIFIED,
    State.WANTED: Stage.ACCEPTED,
    State.RECEIVING: Stage.TRANSFERRING,
    State.READY: Stage.TRANSFERRED,
    State.INSTALLING: Stage.INSTALLING,
    State.BOOTING: Stage.BOOTING,
    State.VERIFYING: Stage.VERIFYING,
}


def summary(update_id: str, entries: Sequence[DownloadEntry]) -> VehicleUpdate:
    """Return the status of an update.

    It is ``installed`` when all downloads are, failed or cancelled when they have ended and one is, and otherwise at
    the stage of its slowest download.
    """
    downloads = [
        DownloadProgress(
            download_index=entry.download_index,
            status=_status(entry.state),
            stage=STAGES.get(entry.state),
            reason=entry.reason,
        )
        for entry in entries
    ]
    if all(entry.state.is_final for entry in entries):
        bad = next((entry for entry in entries if entry.state is not State.INSTALLED), None)
        if bad is not None:
            status = _status(bad.state)
            return VehicleUpdate(update_id=update_id, status=status, downloads=downloads, reason=bad.reason)
        message = outcomes.COMPLETE.render(package=entries[-1].package.text) or ""
        outcome = OutcomeReport(status=200, message=message)
        return VehicleUpdate(update_id=update_id, status=UpdateStatus.INSTALLED, downloads=downloads, outcome=outcome)
    order = list(STAGES)
    stage = STAGES[min((entry.state for entry in entries if not entry.state.is_final), key=order.index)]
    begun = any(entry.state is not State.OFFERED for entry in entries)
    status = UpdateStatus.IN_FLIGHT if begun else UpdateStatus.PENDING
    return VehicleUpdate(update_id=update_id, status=status, downloads=downloads, stage=stage)


def _status(state: State) -> UpdateStatus:
    if state.is_final:
        return UpdateStatus(state)
    return UpdateStatus.PENDING if state is State.OFFERED else UpdateStatus.IN_FLIGHT
