"""Groups of vehicles, for ``in_group "pilot"`` in filters. A group that a filter asks for is never missing."""
