"""Transfers: notify a vehicle, send it the blocks that it lacks, and record what it reports."""
