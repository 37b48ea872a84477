"""Finds installers by name: files in this folder, and modules that were installed with the vehicle."""

from __future__ import annotations

import importlib
import re

from sota.kit.errors import StartError
from sota.slm.installers import Installer, Place
from sota.slm.installers.guard import Guarded

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
BESIDE = "sota.slm.installers"


def load(name: str, place: Place) -> Installer:
    """Return an installer by its name: a file in this folder, or an installed module ``sota_installer_<name>``.

    Its ``OSError`` is an :class:`InstallerFailed` (``guard.py``).

    Raises:
        StartError: there is none, or its options are invalid.
    """
    if not NAME.fullmatch(name):
        raise StartError(f"slm: {name!r} is not the name of an installer: lower-case letters, digits and _")
    for module in (f"{BESIDE}.{name}", f"sota_installer_{name}"):
        try:
            make = importlib.import_module(module).make
        except ModuleNotFoundError as error:
            if error.name != module:
                raise StartError(f"slm: installer {name!r} needs the module {error.name!r}") from None
        except AttributeError:
            raise StartError(f"slm: {module} has no function make(place)") from None
        else:
            return Guarded(make(place))
    raise StartError(f"slm: there is no installer {name!r}")
