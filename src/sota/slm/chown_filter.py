"""Writes the filter with which an ordinary user's confined step may "change" the owner of files.

It is a program for the kernel's seccomp: a call of the chown family returns success and does nothing. Every other call
is let through. Where the processor is not known there is no filter, and such a call fails as the kernel has it.

The program, with the processor's own numbers::

    load architecture; is it ours? no: allow
    load number of the call; is it one of the chown family? yes: succeed
    allow
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CALL_NUMBER_AT, ARCHITECTURE_AT = 0, 4
ALLOW, SUCCEED = 0x7FFF0000, 0x00050000
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with error 0."""


class Calls(NamedTuple):
    """A processor's audit number, and the numbers of the calls that change owners."""

    architecture: int
    numbers: tuple[int, ...]


GENERIC = (54, 55)  # fchownat, fchown: the numbers of all newer processors
CALLS = {
    "x86_64": Calls(0xC000003E, (92, 93, 94, 260)),
    "aarch64": Calls(0xC00000B7, GENERIC),
    "riscv64": Calls(0xC00000F3, GENERIC),
    "armv7l": Calls(0x40000028, (16, 95, 182, 198, 207, 212, 325)),
}


def chown_filter(machine: str) -> bytes:
    """Return the filter for a processor (``os.uname().machine``); nothing where it is not known.

    >>> len(chown_filter("aarch64")) // 8, chown_filter("abacus")
    (7, b'')
    """
    calls = CALLS.get(machine)
    if calls is None:
        return b""
    count = len(calls.numbers)
    program = [(LOAD_WORD, 0, 0, ARCHITECTURE_AT), (JUMP_IF_EQUAL, 0, count + 1, calls.architecture)]
    program.append((LOAD_WORD, 0, 0, CALL_NUMBER_AT))
    for position, number in enumerate(calls.numbers):
        program.append((JUMP_IF_EQUAL, count - position, 0, number))
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, SUCCEED)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
