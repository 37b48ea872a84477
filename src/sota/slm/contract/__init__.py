"""The suite that every installer must pass, whoever wrote it; shipped with the program.

An installer's author writes a :class:`Subject` (how to build its packages, good and bad, and how to see what runs) and
gives it to every case of ``CASES``; with pytest::

    @pytest.mark.parametrize("case", CASES)
    async def test_mine_keeps_the_contract(case: str, tmp_path: Path) -> None:
        await CASES[case](Testbed(tmp_path, MySubject(tmp_path)))

Each case runs the real rules, the real journal and real processes in a folder of its own, has the power go where it
says, and raises :class:`ContractBroken` with a sentence. A case that does not apply (nothing to remove, no disk to
fill) raises :class:`NotApplicable`, which says why; a test reports it as skipped, never as passed.
"""

from sota.slm.contract.cases import CASES
from sota.slm.contract.testbed import ContractBroken, Fault, Loss, NotApplicable, Subject, Testbed, Trial

__all__ = ["CASES", "ContractBroken", "Fault", "Loss", "NotApplicable", "Subject", "Testbed", "Trial"]
