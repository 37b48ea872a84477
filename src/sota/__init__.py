"""SOTA: software over the air for vehicles."""

__version__ = "0.1.0"
