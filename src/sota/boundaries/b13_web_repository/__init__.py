"""B13: Web Server to the package repository."""
