"""SOTA Core: the register (vehicles, packages, components), install requests, and transfers."""
