"""Packages: the register of uploads, and which vehicles have them."""
