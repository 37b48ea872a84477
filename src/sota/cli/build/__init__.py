"""Build package files and update images from a folder and a short recipe (``docs/how-to/build-packages.md``).

``recipe.py`` reads the TOML; one file for each kind makes it. The same input gives the same bytes, on any day and for
any user, except where a foreign tool's own signature carries the time (RAUC).
"""
