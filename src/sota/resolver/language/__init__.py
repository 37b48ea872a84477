"""The filter language: a boolean expression that is true or false for a vehicle.

::

    vin_matches "^WVW" AND (has_component "^TCU-" OR NOT has_package "ivi" "^1\\.")

* ``vin_matches R``: the VIN matches; ``has_component R``: one of the part numbers does; ``has_package N V``: one
  installed package has a name that matches N **and** a version that matches V; ``TRUE`` and ``FALSE``;
* our own: ``package_version "ivi" < "2.1.0"`` (``<= = != >= >`` too): an installed package of exactly this name has a
  version that compares so numerically; ``attribute "region" R``: the attribute of exactly this name has a
  value that matches; ``in_group "pilot"``: the vehicle is in the group of exactly this name;
* NOT binds tightest, then AND, then OR; words are case-sensitive; ``/* … */`` and ``// …`` are comments;
* a regular expression is in ``"…"`` or ``'…'``, without escapes: a backslash belongs to the expression, and a quote
  of the same kind cannot be inside. The call form ``has_package("…", "…")`` means the same;
* the dialect is RE2, and a match may be anywhere in the text: ``^`` and ``$`` anchor it.
"""
