"""The documents: generated reference pages, and the static site.

``python -m scripts.docs reference`` writes the pages of ``docs/reference`` that are made from code.
``python -m scripts.docs site`` renders every document to ``dist/docs``.
"""
