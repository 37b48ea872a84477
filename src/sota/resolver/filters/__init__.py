"""Named filters, and the packages that they are attached to. All filters of a package must be true for a vehicle."""
