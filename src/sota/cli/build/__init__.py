"""Build package files and update images from a folder and a short recipe (``docs/how-to/build-packages.md``).

``recipe.py`` reads the TOML; there is one file for each kind. The same input always gives the same bytes, except where
a foreign tool's own signature contains the time (RAUC).
"""
