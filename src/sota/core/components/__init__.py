"""Components: the register of part numbers."""
