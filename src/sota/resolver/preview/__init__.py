"""Previews: what an expression, or a package, would choose; and the tools of whoever writes a filter."""
