"""Vehicles: their register, their installed packages, and whether they are connected."""
