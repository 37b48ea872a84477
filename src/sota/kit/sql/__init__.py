"""Databases: SQLite and MariaDB behind the backend, small SQLite files in the vehicle."""
