"""Groups of vehicles, for ``in_group "pilot"`` in filters. A group that a filter uses always exists."""
