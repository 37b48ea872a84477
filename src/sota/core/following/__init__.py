"""Waiting until the Resolver knows what Core has acknowledged."""
