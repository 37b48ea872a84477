"""Filters over the whole fleet.

``fleet_index.py`` is the interface; ``database_scan.py`` answers it from the database, step by step: right and frugal,
and slow for millions of vehicles. Whatever keeps an index in memory takes its place behind the same interface.
"""
