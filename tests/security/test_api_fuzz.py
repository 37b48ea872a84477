"""The whole API document, tried out on the running backend as admin, operator, viewer and without a role.

Whatever is sent, the answer is one that the document declares, in the form that it declares, and no caller reaches what
its role does not allow. ``make fuzz`` sends more than 5,000 cases; its last lines tell how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from sota.boundaries.interaction import Role
from tests.support.api_fuzz import ROLES, Target, load, run_cases, running_target

OPERATIONS = load()
QUICK, THOROUGH = 3, 44


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_target(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


# The backend's own use of `random`, in its thread, looks like a strategy's.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.hypothesis
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_declared_and_allowed(
    label: str, role: Role, target: Target, record_property: Callable[[str, object], None]
) -> None:
    is_thorough = settings.get_current_profile_name() == "fuzz"
    record_property("api_cases", run_cases(OPERATIONS[label], target, role, THOROUGH if is_thorough else QUICK))
