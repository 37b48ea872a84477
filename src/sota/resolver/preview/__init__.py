"""Previews: which vehicles an expression or a package would choose; and tools for authors of filters."""
