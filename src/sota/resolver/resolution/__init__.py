"""The resolve (B3-5, B5-1): the vehicles that a package is for, each with what it must get."""
