"""Update images: files that hold several packages and say, signed, what is done with them in which order.

``manifest.py`` the words, ``image.py`` the file. Whoever builds images and the vehicle that takes them both use these.
"""
