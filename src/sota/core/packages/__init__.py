"""Packages: the register of what was uploaded, and who has it."""
