"""B2: Web Server to SOTA Core."""
