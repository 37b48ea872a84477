"""Sessions: signing in and out, and how a browser is known in between."""
