"""The resolve (B3-5, B5-1): the vehicles that a package is for, each with the packages that it must get."""
