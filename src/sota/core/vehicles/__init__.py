"""Vehicles: their register, what is installed in them, and whether they are connected."""
