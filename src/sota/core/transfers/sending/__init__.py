"""Sending downloads to vehicles, block by block, and writing down how far they have come."""
