"""The pages on installers and update images: the code in them works, and their settings and manifests are valid."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from sota.boundaries.update_image.manifest import Action, OnFailure, parse
from sota.boundaries.values import Reason
from sota.kit.runtime.settings import load as load_settings
from sota.slm.contract import CASES, NotApplicable, Testbed
from sota.slm.images.commands import command_for
from sota.slm.model import ResultCode
from sota.slm.program import load_installers
from sota.slm.settings import SlmSettings
from tests.support.document_commands import section

DOCS = Path(__file__).parents[3] / "docs"


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    installer, contract = blocks("how-to/write-an-installer.md", "python")
    (tmp_path / "sota_installer_sounds.py").write_text(installer)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = ModuleType("sounds_contract")
    exec(compile(contract, "docs/how-to/write-an-installer.md", "exec"), module.__dict__)
    yield module.SoundSubject(tmp_path)
    sys.modules.pop("sota_installer_sounds", None)


NOT_APPLICABLE = {"full_disk", "failing_installation"}


@pytest.mark.parametrize(
    "case", sorted(set(CASES) - NOT_APPLICABLE - {"power_loss_at_each_write", "kill_at_each_write"})
)
async def test_installer_of_the_walk_through_keeps_the_contract(case: str, subject: Any, tmp_path: Path) -> None:
    await CASES[case](Testbed(tmp_path, subject, thorough=False))


@pytest.mark.parametrize("case", sorted(NOT_APPLICABLE))
async def test_case_that_does_not_apply_says_so(case: str, subject: Any, tmp_path: Path) -> None:
    with pytest.raises(NotApplicable):
        await CASES[case](Testbed(tmp_path, subject, thorough=False))


def test_settings_of_the_document_make_installers(tmp_path: Path) -> None:
    (settings,) = blocks("reference/installers.md", "toml")
    file = tmp_path / "sota.toml"
    file.write_text(settings)

    installers = load_installers(load_settings(SlmSettings, "slm", file=file, environment={}))

    assert [installer.name for installer in installers] == ["deb", "archive", "command"]


def test_manifest_of_the_document_is_one(tmp_path: Path) -> None:
    (document,) = blocks("reference/update-images.md", "json")
    manifest = parse(document.encode())
    (settings,) = blocks("reference/update-images.md", "toml")
    configured = msgspec.convert(tomllib.loads(settings)["slm"]["image_commands"], dict[Action, tuple[str, ...]])

    flash = next(operation for operation in manifest.operations if operation.id == "gateway")
    command = command_for(configured, flash, Path("/file"))  # type: ignore[arg-type]
    assert command.arguments == ("/usr/lib/vehicle/flash", "gw0", "/file")


def test_document_names_every_action_and_reaction_to_a_failure() -> None:
    text = (DOCS / "reference" / "update-images.md").read_text()
    assert [name for name in (*Action, *OnFailure) if f"`{name}`" not in text] == []


def test_page_of_result_codes_has_every_code_and_reason() -> None:
    text = section((DOCS / "reference" / "result-codes.md").read_text(), "Result codes")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == [
        code.value for code in ResultCode
    ]
    text = section((DOCS / "reference" / "result-codes.md").read_text(), "Reasons")
    assert set(re.findall(r"`(\w+)`", text)) == set(Reason)


def test_troubleshooting_has_a_row_for_every_reason() -> None:
    text = section((DOCS / "how-to" / "troubleshoot-updates.md").read_text(), "Reasons")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [reason.value for reason in Reason]


def test_texts_of_troubleshooting_are_texts_of_the_vehicle() -> None:
    text = section((DOCS / "how-to" / "troubleshoot-updates.md").read_text(), "Texts that need action")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [shown for row in rows for shown in re.findall(r"`([^`]+)`", row)]
    sources = "".join(path.read_text() for path in (DOCS.parent / "src/sota").rglob("*.py"))
    assert (len(named) > 8, [shown for shown in named if shown not in sources]) == (True, [])
