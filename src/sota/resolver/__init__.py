"""The External Resolver: which vehicles get a package, and with what else.

Where things are:

* ``language/``      the filter language: grammar, parser, formatter, evaluation for one vehicle;
* ``index/``         filters over the whole fleet, behind a small interface;
* ``dependencies/``  the graph of prerequisites, and what one vehicle lacks;
* ``register/``      vehicles, packages, components and what is installed;
* ``filters/``       named filters and the packages that they are attached to;
* ``attributes/``, ``groups/``  properties of vehicles that filters test;
* ``facts/``         changes of the fleet that Core reports, line by line (B5-2);
* ``resolution/``    the resolve itself (B3-5, B5-1);
* ``recorded/``      answers frozen under an id, looked up and compared later;
* ``preview/``       expressions while they are typed, and the outcome of a resolve now;
* ``explanation/``   why one vehicle gets a package or not.
"""
