"""The whitelist as code: the only way from one program to another.

One folder a boundary, each with the same files:

* ``rows.py``     the interactions, with every outcome's status and literal message;
* ``messages.py`` the bodies that cross it and no other boundary declares;
* ``client.py``   what the calling program uses, one method a row.

``interaction.py`` holds the types, ``table.py`` all rows together, ``ends.py`` finds both ends of a row in the source.
"""
