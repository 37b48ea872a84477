"""Revisions of the Web Server's database."""
