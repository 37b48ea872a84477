"""SOTA Core: what there is (vehicles, packages, components), what is wanted (requests), and how it arrives (transfers)."""
