"""Sessions: signing in and out, and recognising a browser in between."""
