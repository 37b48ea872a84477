"""``sota ctl packages``: software that may go to vehicles."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from cyclopts import App

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.messages import Package
from sota.boundaries.b3_web_resolver.messages import Filter
from sota.boundaries.parameters import ListQuery, RegexQuery
from sota.boundaries.values import SignatureEnvelope
from sota.cli.ctl.arguments import MOST, Most, Switch, body, confirm, read_package
from sota.cli.ctl.output import progress, show_done, show_list, show_one
from sota.cli.ctl.package_download import download
from sota.cli.ctl.package_files import build, inspect, sign
from sota.cli.ctl.plans import declare, drop, needs, preview
from sota.cli.ctl.profile import HERE, Target
from sota.cli.ctl.session import collect, talk
from sota.kit.errors import StartError

PART = 1 << 20
app = App(name="packages", help="Build, upload, look up, blacklist and delete packages.")
for _command in (build, sign, inspect, download, preview, needs, declare, drop):
    app.command(_command)


@app.command
def upload(
    file: Path,
    *,
    name: str,
    version: str,
    description: str = "",
    vendor: str = "",
    installer: str | None = None,
    target: str | None = None,
    needs: tuple[str, ...] = (),
    key: Path | None = None,
    signature: Path | None = None,
    to: Target = HERE,
) -> None:
    """Upload a package's file, signed by your key or with a separate signature.

    Parameters
    ----------
    file
        The package's file.
    name
        The package's name.
    version
        Its version, major.minor.patch.
    description
        Its description, for people.
    vendor
        Its vendor.
    installer
        Which installer takes the file in the vehicle; without it the file itself decides.
    target
        The control unit that the file is for, if there are several.
    needs
        A dependency, NAME/VERSION, with the minimum version; repeatable.
    key
        The signing key (sota keys new).
    signature
        The signature that sota keys sign printed.
    """
    if key is not None and signature is not None:
        raise StartError("either --key or --signature")
    if not file.is_file():
        raise StartError(f"{file} is no file")
    fields: dict[str, object] = {
        "name": name, "version": version, "description": description, "vendor": vendor, "installer": installer,
        "target": target, "dependencies": [read_package(need) for need in needs],
    }  # fmt: skip
    with progress() as bars:
        bar = bars.add_task("reading", total=file.stat().st_size)
        sha256 = hashlib.sha256()
        with file.open("rb") as content:
            while part := content.read(PART):
                sha256.update(part)
                bars.update(bar, advance=len(part))
        fields["sha256"] = sha256.hexdigest()
        fields["signature"] = _signature(fields, file, key, signature)
        metadata = body(PackageMetadata, **fields)
        sending = bars.add_task("uploading", total=file.stat().st_size)

        async def parts() -> AsyncIterator[bytes]:
            with file.open("rb") as content:
                while part := await asyncio.to_thread(content.read, PART):
                    yield part
                    bars.update(sending, advance=len(part))

        async def work(web: WebClient) -> str:
            return (await web.upload_package(metadata, parts(), file.name)).message

        message = talk(to, work)
    package = f"{name}/{version}"
    show_done(f"{package}: {message}", {"package": package, "sha256": fields["sha256"]}, json=to.json)


@app.command(name="list")
def list_packages(regex: str | None = None, *, most: Most = MOST, to: Target = HERE) -> None:
    """List packages by NAME/VERSION.

    Parameters
    ----------
    regex
        Only packages that match this regular expression (RE2): '^ivi/'.
    """
    found = talk(to, lambda web: collect(web.search_packages, RegexQuery(regex), most.items))
    rows = [
        (f"{p.name}/{p.version}", p.size, p.installer, p.signed, p.blacklisted_at is not None, p.created_at)
        for p in found
    ]
    show_list(("Package", "Bytes", "Installer", "Signed", "Blacklisted", "Uploaded"), rows, found, json=to.json)


@app.command
def show(package: str, *, to: Target = HERE) -> None:
    """Show one package and its filters.

    Parameters
    ----------
    package
        NAME/VERSION.
    """
    wanted = read_package(package)

    async def work(web: WebClient) -> tuple[Package, list[Filter]]:
        found = await web.package(wanted)
        return found, await collect(lambda query: web.filters_of(wanted, query), ListQuery(), None)

    found, filters = talk(to, work)
    fields = [(name.replace("_", " "), value) for name, value in msgspec.structs.asdict(found).items()]
    fields += [("filter", f"{one.name}: {one.expression}") for one in filters] or [("filters", "none: it goes nowhere")]
    show_one(fields, {**msgspec.to_builtins(found), "filters": filters}, json=to.json)


@app.command
def vehicles(package: str, *, most: Most = MOST, to: Target = HERE) -> None:
    """List the VINs that have a package installed.

    Parameters
    ----------
    package
        NAME/VERSION.
    """
    wanted = read_package(package)
    found = talk(
        to,
        lambda web: collect(
            lambda query: web.vehicles_with(wanted.name, wanted.version, query), ListQuery(), most.items
        ),
    )
    show_list(("VIN",), [(vin,) for vin in found], found, json=to.json)


@app.command
def blacklist(package: str, comment: str, *, stop: Switch = False, yes: Switch = False, to: Target = HERE) -> None:
    """Blacklist a package: it goes to no vehicle, and its waiting updates are cancelled.

    Parameters
    ----------
    package
        NAME/VERSION.
    comment
        The reason.
    stop
        Abort running updates, too.
    yes
        Do not ask for confirmation.
    """
    wanted = read_package(package)
    touched = talk(to, lambda web: web.preview_blacklisting(wanted))
    updates = f"{touched.pending} updates wait, {touched.in_flight} are under way"
    confirm(f"{package}: {updates}, {touched.installed_on} vehicles have it. Blacklist it?", yes=yes)
    done = talk(to, lambda web: web.blacklist(wanted, comment, stop=stop))
    show_done(f"{package}: {done.cancelled} cancelled, {done.in_flight} continue", done, json=to.json)


@app.command
def allow(package: str, *, to: Target = HERE) -> None:
    """Remove a package from the blacklist.

    Parameters
    ----------
    package
        NAME/VERSION.
    """
    said = talk(to, lambda web: web.allow(read_package(package)))
    show_done(f"{package}: {said.message}", said, json=to.json)


@app.command
def delete(package: str, *, yes: Switch = False, to: Target = HERE) -> None:
    """Delete a package that is no longer needed, with its file.

    Parameters
    ----------
    package
        NAME/VERSION.
    yes
        Do not ask for confirmation.
    """
    wanted = read_package(package)
    confirm(f"Delete {package}?", yes=yes)
    said = talk(to, lambda web: web.delete_package(wanted))
    show_done(f"{package}: {said.message}", said, json=to.json)


def _signature(
    fields: dict[str, object], file: Path, key: Path | None, signature: Path | None
) -> SignatureEnvelope | None:
    try:
        if signature is not None:
            return msgspec.json.decode(signature.read_bytes(), type=SignatureEnvelope)
    except (OSError, msgspec.DecodeError) as error:
        raise StartError(f"{signature}: {error}") from None
    if key is None:
        return None
    from sota.boundaries.package_signature import SignedFields, load_private_key
    from sota.boundaries.package_signature import sign as sign_fields

    if fields["installer"] is None:
        raise StartError("--key signs for an installer: say which with --installer (deb, …)")
    signed = SignedFields(
        str(fields["name"]), str(fields["version"]), file.stat().st_size, str(fields["sha256"]),
        str(fields["installer"]), str(fields["target"] or ""),
    )  # fmt: skip
    return msgspec.convert(sign_fields(load_private_key(key), signed), SignatureEnvelope)
