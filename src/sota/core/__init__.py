"""SOTA Core: what there is (vehicles, packages, components), what is wanted (requests), how it comes (transfers)."""
