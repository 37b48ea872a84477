"""What a Software Loading Manager can be told: see ``sota slm --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.update_image.manifest import Action
from sota.boundaries.values import Vin
from sota.kit.runtime.settings import Annotated, Meta, Settings


class SlmSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Every path is the vehicle's own."""

    vin: Annotated[Vin, Meta(description="The vehicle's VIN.")]
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port for the SOTA Client; 0 takes a free one.")] = 9102
    data: Annotated[
        Path, Meta(description="Folder for the journal, packages that arrive and those kept for going back.")
    ] = Path("var/slm")
    root: Annotated[
        Path, Meta(description="Root folder of the vehicle's file system, with its package database in var/lib/dpkg.")
    ] = Path("var/root")
    installers: Annotated[
        tuple[str, ...], Meta(description="Installers that this vehicle has: deb, archive, command, …; see sota.slm.")
    ] = ("deb",)
    options: Annotated[
        dict[str, dict[str, Any]], Meta(description="Options of installers, a table each: [slm.options.archive].")
    ] = msgspec.field(default_factory=dict)
    image_commands: Annotated[
        dict[Action, tuple[str, ...]],
        Meta(description="Commands for actions of update images; see docs/reference/update-images.md."),
    ] = msgspec.field(default_factory=dict)
    keys: Annotated[Path, Meta(description="Folder with the public keys (*.pub.pem) that may sign update images.")] = (
        Path("var/keys")
    )
    allow_unsigned_images: Annotated[
        bool, Meta(description="Take update images without a signature. For a laboratory only.")
    ] = False
    health_check: Annotated[
        tuple[str, ...],
        Meta(description="Command line that ends with 0 when the vehicle is well; asked after each installation."),
    ] = ()
    firmware_command: Annotated[
        tuple[str, ...],
        Meta(description="Command line that prints the firmware of control units as JSON; see sota.slm.firmware."),
    ] = ()
    boot_id_file: Annotated[Path, Meta(description="File whose content is another after each boot.")] = Path(
        "/proc/sys/kernel/random/boot_id"
    )
    reboot: Annotated[
        tuple[str, ...],
        Meta(
            description="Command line that boots the vehicle for an update that needs it; none: the boot is waited for."
        ),
    ] = ()
    boot_timeout_s: Annotated[
        float, Meta(gt=0, le=31_536_000, description="How long a boot is waited for before the way back is taken.")
    ] = 1_209_600.0
    max_deferrals: Annotated[int, Meta(ge=0, le=1000, description="How often a driver may put an update off.")] = 3
    max_defer_s: Annotated[
        float, Meta(ge=0, le=31_536_000, description="How long a driver may put an update off in all.")
    ] = 604_800.0
    defer_s: Annotated[
        float, Meta(gt=0, le=31_536_000, description="How long an update is put off where the driver names no time.")
    ] = 86_400.0
    vehicle_state_file: Annotated[
        Path | None, Meta(description="JSON file with state_of_charge (percent) and parked, as the vehicle is now.")
    ] = None
    vehicle_state_command: Annotated[
        tuple[str, ...], Meta(description="Command line that prints the same JSON, where there is no file.")
    ] = ()
    vehicle_state_max_age_s: Annotated[
        float, Meta(gt=0, le=86_400, description="A file that was written longer ago says nothing.")
    ] = 120.0
    min_state_of_charge: Annotated[
        float, Meta(ge=0, le=100, description="Percent that the battery must have for an installation; 0: any.")
    ] = 0.0
    must_be_parked: Annotated[bool, Meta(description="Whether the vehicle must be parked for an installation.")] = False
    min_free_bytes: Annotated[
        int, Meta(ge=0, description="Bytes that must be free below root before an installation; 0: any.")
    ] = 0
    precondition_retry_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Pause before preconditions that do not hold are looked at again.")
    ] = 30.0
    precondition_wait_s: Annotated[
        float, Meta(gt=0, le=31_536_000, description="How long they are waited for before the update fails.")
    ] = 1_209_600.0
    client_url: Annotated[str, Meta(description="Address of the SOTA Client.")] = "http://127.0.0.1:9101"
    client_token_file: Annotated[Path, Meta(description="File with our token for the SOTA Client.")] = Path(
        "var/identity/slm.token"
    )
    credentials_file: Annotated[Path, Meta(description="File with the hashes of the tokens that may call us.")] = Path(
        "var/identity/slm.credentials.toml"
    )
    quota_bytes: Annotated[int, Meta(ge=1, description="Bytes that arriving packages may take on disk.")] = 16 << 30
    install_timeout_s: Annotated[float, Meta(gt=0, le=86_400, description="Time for one step of an installer.")] = (
        1800.0
    )
    lock_timeout_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Time to wait for somebody else who works with the package database.")
    ] = 600.0
    output_bytes: Annotated[
        int, Meta(ge=256, le=60_000, description="How much of an installer's output is reported.")
    ] = 16_384
    allow_downgrade: Annotated[
        bool, Meta(description="Whether any update may replace a newer version, also without its saying so.")
    ] = False
    retry_s: Annotated[
        float, Meta(gt=0, le=3600, description="First pause before the SOTA Client is called again; it doubles.")
    ] = 1.0
    retry_max_s: Annotated[float, Meta(gt=0, le=86_400, description="Longest pause before it is called again.")] = 60.0
    remind_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="A download that is wanted and does not come is asked for again after this."),
    ] = 60.0
    stop_wait_s: Annotated[
        float, Meta(ge=0, le=14, description="How long our end waits for an installer; later it runs on without us.")
    ] = 8.0
