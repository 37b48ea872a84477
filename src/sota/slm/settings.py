"""The settings of a Software Loading Manager; ``sota slm --help`` lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # each installer checks its own options

import msgspec

from sota.boundaries.update_image.manifest import Action
from sota.boundaries.values import Vin
from sota.kit.runtime.settings import Annotated, Meta, Seconds, Settings

CommandLine = tuple[str, ...]
LongSeconds = Annotated[float, Meta(gt=0, le=31_536_000)]


class SlmSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Every path is the vehicle's own."""

    vin: Annotated[Vin, Meta(description="The vehicle's VIN.")]
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port for the SOTA Client; 0 takes a free one.")] = 9102
    data: Annotated[Path, Meta(description="Folder for the journal, incoming packages and backups.")] = Path("var/slm")
    root: Annotated[Path, Meta(description="Root of the vehicle's file system, with var/lib/dpkg.")] = Path("var/root")
    installers: Annotated[tuple[str, ...], Meta(description="The vehicle's installers: deb, archive, command, …")] = (
        "deb",
    )
    options: Annotated[dict[str, dict[str, Any]], Meta(description="Options of installers: [slm.options.archive].")] = (
        msgspec.field(default_factory=dict)
    )
    image_commands: Annotated[
        dict[Action, CommandLine],
        Meta(description="Commands for actions of update images; see docs/reference/update-images.md."),
    ] = msgspec.field(default_factory=dict)
    keys: Annotated[Path, Meta(description="Folder of public keys (*.pub.pem) for update images.")] = Path("var/keys")
    allow_unsigned_images: Annotated[bool, Meta(description="Accept unsigned update images; only for tests.")] = False
    health_check: Annotated[
        CommandLine,
        Meta(description="Command line, run after installations; 0: all is well."),
    ] = ()
    firmware_command: Annotated[CommandLine, Meta(description="Command line that prints control units as JSON.")] = ()
    boot_id_file: Annotated[Path, Meta(description="File whose content changes with each boot.")] = Path(
        "/proc/sys/kernel/random/boot_id"
    )
    reboot: Annotated[CommandLine, Meta(description="Command line that reboots the vehicle for an update.")] = ()
    boot_timeout_s: Annotated[LongSeconds, Meta(description="Longest wait for a boot before a rollback.")] = 1_209_600.0
    max_deferrals: Annotated[int, Meta(ge=0, le=1000, description="How often a driver may defer an update.")] = 3
    max_defer_s: Annotated[float, Meta(ge=0, le=31_536_000, description="How long a driver may defer it in total.")] = (
        604_800.0
    )
    defer_s: Annotated[LongSeconds, Meta(description="How long an update is deferred by default.")] = 86_400.0
    vehicle_state_file: Annotated[
        Path | None, Meta(description="JSON file with state_of_charge (percent) and parked.")
    ] = None
    vehicle_state_command: Annotated[CommandLine, Meta(description="Command line that prints this JSON.")] = ()
    vehicle_state_max_age_s: Annotated[
        Seconds, Meta(description="Largest age of this file; an older one is ignored.")
    ] = 120.0
    min_state_of_charge: Annotated[
        float, Meta(ge=0, le=100, description="State of charge (percent) that is required.")
    ] = 0.0
    must_be_parked: Annotated[bool, Meta(description="Whether an installation requires a parked vehicle.")] = False
    min_free_bytes: Annotated[int, Meta(ge=0, description="Free bytes below root that an installation requires.")] = 0
    precondition_retry_s: Annotated[Seconds, Meta(description="Pause between checks of preconditions.")] = 30.0
    precondition_wait_s: Annotated[LongSeconds, Meta(description="Longest wait for preconditions.")] = 1_209_600.0
    client_url: Annotated[str, Meta(description="Address of the SOTA Client.")] = "http://127.0.0.1:9101"
    client_token_file: Annotated[Path, Meta(description="File with our token for the SOTA Client.")] = Path(
        "var/identity/slm.token"
    )
    credentials_file: Annotated[Path, Meta(description="File with hashes of callers' tokens.")] = Path(
        "var/identity/slm.credentials.toml"
    )
    quota_bytes: Annotated[int, Meta(ge=1, description="Most bytes of incoming packages on disk.")] = 16 << 30
    install_timeout_s: Annotated[Seconds, Meta(description="Longest time of one step of an installer.")] = 1800.0
    lock_timeout_s: Annotated[Seconds, Meta(description="Longest wait for the lock of a package database.")] = 600.0
    output_bytes: Annotated[int, Meta(ge=256, le=60_000, description="Most bytes of a step's output in a report.")] = (
        16_384
    )
    allow_downgrade: Annotated[bool, Meta(description="Whether every update may replace a newer version.")] = False
    retry_s: Annotated[float, Meta(gt=0, le=3600, description="First pause before a repeated call; it doubles.")] = 1.0
    retry_max_s: Annotated[Seconds, Meta(description="Longest pause before a call is repeated.")] = 60.0
    remind_s: Annotated[Seconds, Meta(description="Pause before a missing download is requested again.")] = 60.0
    stop_wait_s: Annotated[float, Meta(ge=0, le=14, description="How long a stop waits for a running installer.")] = 8.0
