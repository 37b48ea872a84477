"""Deciding which vehicle is told of which update, and when."""
