"""What a fleet's profile says, and the outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.fleet.enrolment import vins_of
from sota.fleet.profile import Profile, SeededOutcomes
from sota.kit.errors import StartError

TEXT = """
[connectivity]
offline = 0.25
online_mean_s = 100
offline_mean_s = 10
arrival_s = 60
[faults]
install_failure = 0.1
corrupt_download = 0.02
[installation]
mean_s = 2
spread = 0.5
"""
VINS = vins_of(2000, 7)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "profile.toml").write_text(TEXT)
    return Profile.read(tmp_path / "profile.toml")


def test_the_same_seed_decides_the_same(profile: Profile) -> None:
    def story(seed: int) -> list[object]:
        outcomes = [SeededOutcomes(profile, seed, vin) for vin in VINS[:50]]
        return [
            (one.fails("ivi/1.0.0"), one.corrupts("ivi/1.0.0"), one.installation_s("a/1.0.0"), one.online_s())
            for one in outcomes
        ]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_what_happens_to_a_package_does_not_depend_on_what_was_asked_before(profile: Profile) -> None:
    one, other = SeededOutcomes(profile, 1, VINS[0]), SeededOutcomes(profile, 1, VINS[0])
    other.online_s(), other.fails("x/1.0.0"), other.offline_s()

    assert one.installation_s("ivi/1.0.0") == other.installation_s("ivi/1.0.0")


def test_shares_and_means_are_those_of_the_profile(profile: Profile) -> None:
    outcomes = [SeededOutcomes(profile, 1, vin) for vin in VINS]

    def share(answers: list[bool]) -> float:
        return sum(answers) / len(answers)

    assert share([one.begins_offline() for one in outcomes]) == pytest.approx(0.25, abs=0.03)
    assert share([one.fails("ivi/1.0.0") for one in outcomes]) == pytest.approx(0.1, abs=0.02)
    assert share([one.corrupts("ivi/1.0.0") for one in outcomes]) == pytest.approx(0.02, abs=0.01)
    times = [one.installation_s("ivi/1.0.0") for one in outcomes]
    assert min(times) == pytest.approx(1, abs=0.01)
    assert max(times) == pytest.approx(3, abs=0.01)
    online = [one.online_s() or 0.0 for one in outcomes]
    assert sum(online) / len(online) == pytest.approx(100, rel=0.1)
    assert max(one.arrival_s() for one in outcomes) <= 60


def test_without_a_profile_vehicles_stay_connected_and_nothing_fails() -> None:
    outcomes = SeededOutcomes(Profile(), 1, VINS[0])

    assert outcomes.online_s() is None
    assert outcomes.offline_s() is None
    assert [outcomes.begins_offline(), outcomes.fails("a/1.0.0"), outcomes.corrupts("a/1.0.0")] == [False] * 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[faults]\ninstall_failure = 1.5", "install_failure"),
        ("[faults]\ninstall_failures = 0.5", "install_failures"),
        ("[weather]\nrain = 1", "weather"),
        ("not toml", "profile"),
    ],
)
def test_a_profile_that_says_what_none_can_say_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "profile.toml").write_text(text)

    with pytest.raises(StartError, match=says):
        Profile.read(tmp_path / "profile.toml")
    with pytest.raises(StartError, match="No such file"):
        Profile.read(tmp_path / "nothing.toml")


def test_fleets_with_different_seeds_have_no_vehicle_in_common() -> None:
    assert len(set(vins_of(50, 1)) | set(vins_of(50, 2))) == 100
    assert all(len(vin) == 17 for vin in vins_of(3, 99_999))


def test_the_profile_in_the_documentation_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/rehearse-with-a-fleet.md").read_text()
    (tmp_path / "profile.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])

    profile = Profile.read(tmp_path / "profile.toml")

    assert (profile.connectivity.offline, profile.faults.corrupt_download) == (0.2, 0.01)
