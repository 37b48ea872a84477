"""Outcomes that the boundaries of the transfer, B7 to B10, share word for word."""

from __future__ import annotations

from sota.boundaries.interaction import answers, behaves, refuses

COMPLETE = answers("complete", "the update is finished without errors", "Installation of {package} complete")
RESUMED = behaves("resumed", "interrupted by a lost network, the work is taken up again on reconnection")
RESUMED_X_TIMES = behaves("resumed", "interrupted by a lost network, reconnection is tried X times to resume the work")
CANCELLED = behaves("cancelled", "'Cancel Software Download' interrupts the download")
ENDINGS = (COMPLETE, RESUMED, CANCELLED)
"""How what was begun ends: of every row that begins a download."""
RECEIVED = answers("received", "the block is on disk, and acknowledged")
DUPLICATE = behaves("duplicate", "a block received before is discarded and the next one requested")
DOWNLOADED = answers("downloaded", "the download is finished without errors", "Download of {package} complete")
INCOMPLETE = refuses("incomplete", 400, "Incomplete Download", "blocks are missing, and are fetched")
INSTALLED = answers("installed", "the installation was finished without errors", "{package} success")
ALREADY_COMPLETE = refuses("already_complete", 409, "{package} failed", "the VIN is already marked as complete")
ALREADY_FAILED = refuses("already_failed", 409, "{package} failed", "the VIN is already marked as failed")
FAILURE_RECORDED = answers("failure_recorded", "the report says that it failed, and is recorded", "{package} failed")
"""A report of failure on an open VIN, which the whitelist does not mention (docs/specification.md, B7-7)."""
CONFLICT = refuses(
    "other_download",
    409,
    "{package} failed",
    "it names another download, or another life of the vehicle: nothing is recorded",
)
"""What counts for no download that Core knows; the vehicle is asked for all its packages."""
OVER = refuses("conflict", 409, "Conflict", "the download's update is over: the vehicle is told to drop it")
