"""The API document, as JSON for programs and as a page for people."""
