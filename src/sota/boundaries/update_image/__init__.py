"""Update images: files that hold several packages and say, signed, what is done with them in which order.

``manifest.py`` is the manifest, ``image.py`` the file. The image builder and the vehicle both use these.
"""
