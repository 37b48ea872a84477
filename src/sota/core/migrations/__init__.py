"""Migrations of SOTA Core's database."""
