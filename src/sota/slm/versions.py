"""Which of two versions is newer."""

from __future__ import annotations


def is_newer(installed: str | None, wanted: str) -> bool:
    """Say whether the installed version is newer; only ``major.minor.patch`` is compared.

    >>> is_newer("1.10.0", "1.9.0"), is_newer("unknown", "1.0.0"), is_newer(None, "1.0.0")
    (True, False, False)
    """
    try:
        return installed is not None and _numbers(installed) > _numbers(wanted)
    except ValueError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
