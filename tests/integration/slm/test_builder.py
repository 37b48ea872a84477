"""``sota ctl packages build``, ``sign`` and ``inspect``: what they make is what the installers take."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from sota.boundaries.package_signature import make_key_pair
from sota.slm.installers import Place, ask
from sota.slm.installers.loading import load
from sota.slm.installers.swupdate_slots import says_success
from tests.support.rauc_system import make_key, run
from tests.support.slm_subjects import SwupdateSubject, version_in

pytestmark = pytest.mark.anyio


def ctl(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sota.cli", "ctl", "packages", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


def built(*arguments: str | Path, cwd: Path) -> Path:
    done = ctl("build", *arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / str(json.loads(done.stdout)["file"])


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


MAPS = 'kind = "archive"\nname = "maps"\nversion = "3.0.0"\nfolder = "maps"\n'
IVI = """kind = "deb"
name = "ivi"
version = "2.1.0"
folder = "ivi"
maintainer = "Vehicle software <software@vehicle.example>"
description = "The head unit"

[scripts]
postinst = "true"
"""
SUITE = """kind = "image"
name = "suite"
version = "1.0.0"

[[operations]]
operation = "install"
id = "maps"
recipe = "maps.toml"
on_failure = "continue"

[[operations]]
operation = "install"
id = "ivi"
recipe = "ivi.toml"

[[operations]]
operation = "reboot"
id = "boot"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"maps.toml": MAPS, "maps/north/tile": "north\n", "ivi.toml": IVI, "ivi/opt/ivi/version": "2.1.0\n"}
    return write(tmp_path, {**files, "suite.toml": SUITE})


async def test_archive_is_one_that_its_installer_takes(folder: Path) -> None:
    archive = built("maps.toml", cwd=folder)
    assert archive.name == "maps_3.0.0.tar.gz"
    await load("archive", Place(folder / "root", folder / "state")).inspect(archive, "maps", "3.0.0")
    with tarfile.open(archive) as opened:
        assert opened.getnames() == ["north", "north/tile"]


async def test_debian_package_is_one_that_its_installer_takes(folder: Path) -> None:
    package = built("ivi.toml", cwd=folder)
    installer = load("deb", Place(folder / "root", folder / "state"))
    await installer.inspect(package, "ivi", "2.1.0")
    control = run("dpkg-deb", "--field", package).decode()
    assert "Architecture: all\n" in control
    assert run("dpkg-deb", "--ctrl-tarfile", package)


@pytest.mark.parametrize("recipe", ["maps.toml", "ivi.toml", "suite.toml"])
def test_same_input_gives_the_same_bytes(folder: Path, recipe: str) -> None:
    first = built(recipe, "--out", "first", cwd=folder).read_bytes()
    for file in folder.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    (folder / "maps/north/tile").chmod(0o600)
    assert built(recipe, "--out", "second", cwd=folder).read_bytes() == first


def test_image_is_signed_and_told(folder: Path) -> None:
    make_key_pair(folder / "keys", "packages")
    image = built("suite.toml", "--key", "keys/packages.key.pem", cwd=folder)
    (folder / "keys/packages.key.pem").rename(folder / "packages.key.pem")
    shown = ctl("inspect", image, "--trusted", "keys", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    for words in ("suite/1.0.0", "operation 3", "install maps", "maps_3.0.0.tar.gz"):
        assert words in shown.stdout
    told = json.loads(ctl("inspect", image, "--trusted", "keys", "--json", cwd=folder).stdout)
    assert told["signed"].startswith("by ")
    assert [each["operation"] for each in told["manifest"]["operations"]] == ["install", "install", "reboot"]
    assert told["manifest"]["operations"][0]["package"] == {"name": "maps", "version": "3.0.0"}


def test_image_is_signed_afterwards_by_another_key(folder: Path) -> None:
    make_key_pair(folder / "mine", "packages")
    make_key_pair(folder / "other", "packages")
    image = built("suite.toml", cwd=folder)
    refused = ctl("inspect", image, "--trusted", "mine", cwd=folder)
    assert (refused.returncode, "The image is not signed." in refused.stderr) == (1, True)
    assert ctl("sign", image, "--key", "other/packages.key.pem", cwd=folder).returncode == 0
    assert "No trusted key signed" in ctl("inspect", image, "--trusted", "mine", cwd=folder).stderr
    assert ctl("sign", image, "--key", "mine/packages.key.pem", cwd=folder).returncode == 0
    assert ctl("inspect", image, "--trusted", "mine", cwd=folder).returncode == 0


def test_damaged_image_is_found(folder: Path) -> None:
    image = built("suite.toml", cwd=folder)
    content = bytearray(image.read_bytes())
    content[-5000] ^= 1
    image.write_bytes(content)
    shown = ctl("inspect", image, cwd=folder)
    assert shown.returncode == 1
    assert "damaged" in shown.stderr


async def test_image_of_swupdate_is_installed(tmp_path: Path) -> None:
    subject = SwupdateSubject(tmp_path)
    certificate, key = subject.system.certificate, subject.system.key
    write(tmp_path, {"rootfs.img": "7.0.0 well\n" + "x" * 5_000})
    devices = ", ".join(f'"stable,{slot}" = "{subject.root / slot}"' for slot in "ab")
    recipe = f"""kind = "swupdate"
name = "system"
version = "7.0.0"
hardware = ["1.0"]

[[images]]
file = "rootfs.img"
devices = {{ {devices} }}
"""
    write(tmp_path, {"system.toml": recipe})
    signing = ("--certificate", certificate, "--certificate-key", key)
    image = built("system.toml", *signing, cwd=tmp_path)
    assert built("system.toml", *signing, "--out", "again", cwd=tmp_path).read_bytes() == image.read_bytes()
    installer = subject.installer()
    installer.prepare()
    await installer.inspect(image, "system", "7.0.0")
    arguments = ("-i", str(image), "-k", str(certificate), "-H", "board:1.0", "-e", "stable,b")
    alone = {**os.environ, "TMPDIR": "."}  # others talk to the same socket otherwise
    _code, output, errors = await ask("swupdate", *arguments, environment=alone, folder=subject.system.folder)
    assert says_success(output), (output, errors)  # its exit code does not tell
    assert version_in(subject.root / "b") == "7.0.0"


def test_bundle_of_rauc_is_one(tmp_path: Path) -> None:
    certificate, key = make_key(tmp_path, "trusted")
    write(tmp_path, {"rootfs.img": "7.0.0 well\n" * 1_000})
    recipe = """kind = "rauc"
name = "system"
version = "7.0.0"
compatible = "Test Car"
format = "plain"

[images]
rootfs = "rootfs.img"
"""
    write(tmp_path, {"system.toml": recipe})
    bundle = built("system.toml", "--certificate", certificate, "--certificate-key", key, cwd=tmp_path)
    told = run("rauc", "--keyring", certificate, "info", "--output-format=shell", bundle).decode()
    assert "RAUC_MF_COMPATIBLE='Test Car'" in told
    assert "RAUC_MF_VERSION='7.0.0'" in told
    unsigned = ctl("build", "system.toml", cwd=tmp_path)
    assert (unsigned.returncode, "give --certificate" in unsigned.stderr) == (2, True)


WRONG = {
    "no TOML": ("kind = \n", "(at line 1, column 8)"),
    "an unknown kind": ('kind = "rpm"\n', ":1: Invalid value 'rpm'"),
    "a version that is none": (MAPS.replace("3.0.0", "3.0"), ":3: "),
    "an unknown member": (MAPS + "colour = 1\n", "`colour`"),
    "a folder that is not there": (MAPS.replace('folder = "maps"', 'folder = "x"'), "x does not exist"),
    "an operation without its file": (
        SUITE.replace('recipe = "ivi.toml"\n', ""),
        ":11: Object missing required field `package`",
    ),
    "an unknown operation": (SUITE.replace('"reboot"', '"explode"'), ":17: "),
    "two operations of one id": (SUITE.replace('id = "boot"', 'id = "ivi"'), "two of the operation 'ivi'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_with_its_line_and_leaves_no_file(folder: Path, wrong: str) -> None:
    text, told = WRONG[wrong]
    (folder / "wrong.toml").write_text(text)
    before = sorted(folder.iterdir())
    done = ctl("build", "wrong.toml", cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(folder.iterdir()) == before


def test_upload_that_is_suggested_is_signed_and_on_a_line_of_its_own(folder: Path) -> None:
    done = ctl("build", "maps.toml", cwd=folder)
    made, suggested = done.stdout.splitlines()
    assert "SHA-256" in made
    assert re.fullmatch(r"Upload it, signed: sota ctl packages upload \S+ --name .* --key NAME\.key\.pem", suggested)


def test_link_that_leads_outside_is_refused(folder: Path) -> None:
    (folder / "maps/way").symlink_to("../../secret")
    done = ctl("build", "maps.toml", cwd=folder)
    assert (done.returncode, "leads outside" in done.stderr) == (2, True)
    (folder / "maps/way").unlink()
    os.mkfifo(folder / "maps/pipe")
    done = ctl("build", "maps.toml", cwd=folder)
    assert (done.returncode, "neither a file" in done.stderr) == (2, True)


def run_line(command: str, folder: Path) -> str:
    words = shlex.split(command)
    assert words[0] == "sota"
    arguments = [sys.executable, "-m", "sota.cli", *words[1:]]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_examples_are_built_as_the_page_says(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copytree(root / "examples/images", tmp_path / "images")
    page = (root / "docs/how-to/build-packages.md").read_text()
    commands = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert len(commands) == 3
    told = [run_line(command, tmp_path / "images") for command in commands]
    assert "install program" in told[-1]
    assert re.search(r"^signed +by [0-9a-f]+$", told[-1], re.MULTILINE)


async def test_options_of_the_page_are_options(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/build-packages.md").read_text()
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        for name, options in tomllib.loads(block)["slm"]["options"].items():
            assert load(name, Place(tmp_path, tmp_path, options)).name == name
