"""How far the vehicles of a fleet are said to be."""

from __future__ import annotations

from sota.cli.fleet.summary import is_as_wanted
from sota.fleet.counts import Counts, UpdateStage
from sota.fleet.profile import Faults, Profile

ONE, OTHER = "FLEET00001V000000", "FLEET00001V000001"


def counts() -> Counts:
    return Counts([ONE, OTHER])


def test_a_vehicle_goes_through_the_stages_of_its_update() -> None:
    seen = counts()
    stages = [seen.stage(ONE)]
    seen.notified(ONE, "u", frozenset({1}))
    stages.append(seen.stage(ONE))
    seen.transferring(ONE)
    stages.append(seen.stage(ONE))
    seen.installing(ONE)
    stages.append(seen.stage(ONE))
    seen.reported(ONE, 1, "installed", None)
    stages.append(seen.stage(ONE))
    seen.confirmed(ONE, 1)
    stages.append(seen.stage(ONE))

    assert stages == list(UpdateStage)[:6]
    now = seen.snapshot()
    assert (now.over, now.stages[UpdateStage.IDLE], sum(now.stages.values())) == (1, 1, 2)


def test_an_update_of_two_files_is_over_when_both_reports_are_confirmed() -> None:
    seen = counts()
    seen.notified(ONE, "u", frozenset({1, 2}))
    seen.reported(ONE, 1, "installed", None)
    seen.confirmed(ONE, 1)
    assert seen.stage(ONE) is UpdateStage.NOTIFIED

    seen.reported(ONE, 2, "failed", "rolled_back")
    seen.reported(ONE, 2, "failed", "rolled_back")  # sent again: counted once
    assert seen.stage(ONE) is UpdateStage.REPORTING
    seen.confirmed(ONE, 2)

    assert seen.stage(ONE) is UpdateStage.FAILED
    assert seen.snapshot().failures == {"rolled_back": 1}


def test_a_repeated_offer_changes_nothing_and_a_new_one_begins_again() -> None:
    seen = counts()
    seen.notified(ONE, "u", frozenset({1}))
    seen.transferring(ONE)
    seen.notified(ONE, "u", frozenset({1}))
    assert seen.stage(ONE) is UpdateStage.TRANSFERRING

    seen.notified(ONE, "v", frozenset({2}))
    assert seen.stage(ONE) is UpdateStage.NOTIFIED


def test_words_about_what_was_not_offered_count_for_nothing() -> None:
    seen = counts()
    seen.reported(ONE, 9, "installed", None)
    seen.confirmed(ONE, 9)

    assert seen.stage(ONE) is UpdateStage.IDLE


def test_only_failures_that_the_profile_makes_are_as_wanted() -> None:
    seen = counts()
    seen.notified(ONE, "u", frozenset({1}))
    seen.reported(ONE, 1, "failed", "rolled_back")

    assert is_as_wanted(seen.snapshot(), Profile(faults=Faults(install_failure=0.1)))
    assert not is_as_wanted(seen.snapshot(), Profile(faults=Faults(corrupt_download=0.1)))
    assert not is_as_wanted(seen.snapshot(), Profile())
