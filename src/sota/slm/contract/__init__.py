"""The suite that every installer must pass, shipped with the program for authors of installers.

An author writes a :class:`Subject` (how to build packages, good and bad, and how to see which version runs) and passes
it to every case of ``CASES``; with pytest::

    @pytest.mark.parametrize("case", CASES)
    async def test_mine_keeps_the_contract(case: str, tmp_path: Path) -> None:
        await CASES[case](Testbed(tmp_path, MySubject(tmp_path)))

Each case uses the real rules, the real journal and real processes in its own folder, simulates losses of power, and
raises :class:`ContractBroken` with a sentence. A case that does not apply (nothing to remove, no disk to fill) raises
:class:`NotApplicable` with the reason; a test reports it as skipped, never as passed.
"""

from sota.slm.contract.cases import CASES
from sota.slm.contract.testbed import ContractBroken, Fault, Loss, NotApplicable, Subject, Testbed, Trial

__all__ = ["CASES", "ContractBroken", "Fault", "Loss", "NotApplicable", "Subject", "Testbed", "Trial"]
