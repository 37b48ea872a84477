"""Writes the filter of system calls that a confined step runs under, as a program for the kernel's seccomp.

* The calls for keys are refused: the key rings of a user, also of root, belong to no namespace.
* For an ordinary user a call of the chown family returns success and does nothing: the step's user namespace has one
  user, and the kernel would refuse the call, as it does for ordinary users outside.

Every other call is allowed. For an unknown processor there is no filter. The program has one part for each instruction
set that the processor runs::

    load instruction set; is it this one? no: continue with the next part
    load number of the call; is it one of these? yes: succeed, or refuse
    allow
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CALL_NUMBER_AT, INSTRUCTION_SET_AT = 0, 4
ALLOW, SUCCEED, REFUSE = 0x7FFF0000, 0x00050000, 0x00050001
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with error 0, and with EPERM."""


class InstructionSet(NamedTuple):
    """A set's audit number, and the numbers of its calls that change owners and of those for keys."""

    number: int
    owner_calls: tuple[int, ...]
    key_calls: tuple[int, ...]


X86_64 = InstructionSet(0xC000003E, (92, 93, 94, 260), (248, 249, 250))
X86 = InstructionSet(0x40000003, (16, 95, 182, 198, 207, 212, 298), (286, 287, 288))
ARM = InstructionSet(0x40000028, (16, 95, 182, 198, 207, 212, 325), (309, 310, 311))
AARCH64 = InstructionSet(0xC00000B7, (54, 55), (217, 218, 219))
RISCV64 = InstructionSet(0xC00000F3, (54, 55), (217, 218, 219))
PROCESSORS = {
    "x86_64": (X86_64, X86),
    "i686": (X86,),
    "aarch64": (AARCH64, ARM),
    "armv7l": (ARM,),
    "riscv64": (RISCV64,),
}


def call_filter(machine: str, *, keep_owners: bool) -> bytes:
    """Return the filter for a processor (``os.uname().machine``); empty if it is unknown.

    >>> len(call_filter("riscv64", keep_owners=True)) // 8, call_filter("abacus", keep_owners=True)
    (15, b'')
    """
    program: list[tuple[int, int, int, int]] = []
    for known in PROCESSORS.get(machine, ()):
        calls = [(number, REFUSE) for number in known.key_calls]
        calls += [(number, SUCCEED) for number in known.owner_calls if keep_owners]
        # Load the number; for each call a comparison and its answer; then the answer for all others.
        program += [(LOAD_WORD, 0, 0, INSTRUCTION_SET_AT), (JUMP_IF_EQUAL, 0, 2 * len(calls) + 2, known.number)]
        program.append((LOAD_WORD, 0, 0, CALL_NUMBER_AT))
        for number, answer in calls:
            program += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, answer)]
        program.append((RETURN, 0, 0, ALLOW))
    if program:
        program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
