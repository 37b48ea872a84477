"""The rules of an update image: which operation is next, and what the overall result is. Nothing here does I/O.

Rules kept here:

* operations run in order, each once to its end; its result is recorded before the next one begins;
* a failed operation decides what follows: with ``continue`` the next one, with ``abort`` none, with ``rollback`` those
  before it are undone, the last one first;
* after the last operation the vehicle's health check runs, if it has one; it fails like an operation with
  ``rollback``;
* what was installed before the image (code 1) is not undone.

>>> rules = [Rule("library", OnFailure.ABORT), Rule("ivi", OnFailure.ROLLBACK)]
>>> next_move(rules, {}, checked=False)
Do(position=0)
>>> next_move(rules, {"library": Result(0, ""), "ivi": Result(4, "broken")}, checked=False)
Undo(position=0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sota.boundaries.update_image.manifest import OnFailure
from sota.boundaries.values import Reason
from sota.slm.model import Finished, ResultCode

CHECK = "health:check"
UNDO = "undo:"
"""No operation of an image can have ``:`` in its id."""
REASONS = {
    ResultCode.DEPENDENCY_FAILURE: Reason.DEPENDENCY,
    ResultCode.VALIDATION_FAILED: Reason.VERIFICATION_FAILED,
    ResultCode.BLACKLISTED: Reason.BLACKLISTED,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides which operation follows this one."""

    id: str
    on_failure: OnFailure


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended."""

    code: int
    text: str

    @property
    def succeeded(self) -> bool:
        """Whether it is done, now or earlier."""
        return self.code in {ResultCode.OK, ResultCode.ALREADY_PROCESSED}


@dataclass(frozen=True, slots=True)
class Do:
    """Run this operation next."""

    position: int


@dataclass(frozen=True, slots=True)
class Check:
    """Run the vehicle's health check next."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo this operation next."""

    position: int


Move = Do | Check | Undo | Finished


def next_move(rules: Sequence[Rule], results: Mapping[str, Result], *, checked: bool) -> Move:
    """Return what follows from the results so far."""
    for position, rule in enumerate(rules):
        result = results.get(rule.id)
        if result is None:
            return Do(position)
        if not result.succeeded and rule.on_failure is not OnFailure.CONTINUE:
            return _after_failure(rules, results, rule, position)
    if checked and CHECK not in results:
        return Check()
    if checked and not results[CHECK].succeeded:
        return _after_failure(rules, results, Rule(CHECK, OnFailure.ROLLBACK), len(rules))
    return _success(rules, results)


def _success(rules: Sequence[Rule], results: Mapping[str, Result]) -> Finished:
    failed = [rule.id for rule in rules if not results[rule.id].succeeded]
    already = all(results[rule.id].code == ResultCode.ALREADY_PROCESSED for rule in rules)
    text = f"{len(rules) - len(failed)} of {len(rules)} operations were done"
    if failed:
        text += f"; failed, and allowed to: {', '.join(failed)}"
    return Finished(True, ResultCode.ALREADY_PROCESSED if already else ResultCode.OK, None, text)


def _after_failure(rules: Sequence[Rule], results: Mapping[str, Result], failed: Rule, position: int) -> Move:
    code = ResultCode(results[failed.id].code)
    what = "the health check failed" if failed.id == CHECK else f"operation {failed.id} failed"
    done = [index for index in range(position) if results[rules[index].id].code == ResultCode.OK]
    reason = REASONS.get(code, Reason.INSTALL_FAILED)
    if failed.on_failure is OnFailure.ABORT:
        stays = f"; done before it, and still there: {', '.join(rules[index].id for index in done)}" if done else ""
        return Finished(False, code, reason, what + stays)
    left = []
    for index in reversed(done):
        undone = results.get(UNDO + rules[index].id)
        if undone is None:
            return Undo(index)
        if not undone.succeeded:
            left.append(rules[index].id)
    if left:
        return Finished(False, code, reason, f"{what}; could not be taken back: {', '.join(reversed(left))}")
    back = "; everything before it was taken back" if done else "; nothing was done before it"
    return Finished(False, code, Reason.ROLLED_BACK if done else reason, what + back)
