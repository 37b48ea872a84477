"""Migrations of the External Resolver's database, applied at start or by ``sota db upgrade``."""
