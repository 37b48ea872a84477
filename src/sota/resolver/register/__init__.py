"""The Resolver's own registers: vehicles, packages with their dependencies, components."""
