"""The how-to pages whose commands need a running backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.document_commands import runnable_blocks
from tests.support.typed_commands import type_commands

ROOT = Path(__file__).parents[2]
# What a page needs that has only some commands for a backend: one that runs, and files that the page names.
BACKEND = """
sota up --data var/lib/sota --log-level warning --ready-file ready.json &
until [ -s ready.json ]; do sleep 1; done
export SOTA_URL=http://127.0.0.1:8080
export SOTA_TOKEN=$(python3 -c 'import json; print(json.load(open("ready.json"))["token"])')
"""
PACKAGE = """
sota keys new . --name release
mkdir -p ivi/DEBIAN
printf '%s\\n' 'Package: ivi' 'Version: 2.1.0' 'Architecture: all' 'Maintainer: T <t@localhost>' 'Description: x' \\
  > ivi/DEBIAN/control
dpkg-deb --root-owner-group --build ivi ivi.deb
sota ctl vehicles add WVWZZZ1KZ7T000001
"""
ADMIN = """
export SOTA_TOKEN=$(sota tokens new test --role admin --data var/lib/sota)
mkdir -p var/lib/sota/rvi-node
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preparation"), [("roll-out-an-update.md", PACKAGE), ("manage-identities.md", ADMIN)])
def test_commands_of_a_page_work_on_a_running_backend(name: str, preparation: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / name).read_text().replace(" /var/lib/", " var/lib/")
    script = [BACKEND, preparation, *runnable_blocks(page), "kill %1", "wait"]
    type_commands("", "\n".join(script), tmp_path)
