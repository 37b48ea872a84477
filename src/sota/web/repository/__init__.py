"""The package repository: uploads, and the files behind packages."""
