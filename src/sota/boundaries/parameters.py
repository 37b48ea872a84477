"""Parameters of calls over HTTP: the values in a path, and queries.

Rules kept here:

* a row's path has the type whose members are the names in its template: :func:`path_type`;
* a row declares its query (``Http(query=ListQuery)``); the binder decodes it, clients write it, and the API document
  describes it from the same struct;
* descriptions and examples stand at the members: readers of the API document see them.

>>> path_type("/api/v1/vehicles/{vin}/queue").__name__
'VinPath'
>>> written(ListQuery(limit=5))
{'limit': '5'}
"""

from __future__ import annotations

import functools
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.values import Id, Label, PackageId, Vin

_SEGMENT = re.compile(r"\{(\w+)\}")
MAX_LIMIT = 1000

Text = Annotated[str, Meta(min_length=1)]
Regex = Annotated[
    str, Meta(description="an RE2 expression, found anywhere in the text", extra_json_schema={"maxLength": 512})
]
Cursor = Annotated[str, Meta(description="where the page begins: from the `Link` of the page before")]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="entries a page")]

Widen = Annotated[bool, Meta(description="whether the package may go to more vehicles without the filter")]


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """The values in a path, or a query."""


class VinPath(Parameters, frozen=True):
    """A vehicle."""

    vin: Annotated[Vin, Meta(description="a vehicle's VIN", examples=["WVWZZZ1KZ7W000001"])]


class IdPath(Parameters, frozen=True):
    """An install request, a recorded resolution or a token."""

    id: Annotated[
        Id,
        Meta(
            description="an id: of an install request, a recorded resolution, or a token",
            examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        ),
    ]


class UpdatePath(Parameters, frozen=True):
    """An update of one vehicle."""

    update_id: Annotated[
        Id, Meta(description="the id of one vehicle's update", examples=["01890a5d-ac96-774b-bcce-b302099a8058"])
    ]


class NamePath(Parameters, frozen=True):
    """Something that has a name: a filter."""

    name: Annotated[Text, Meta(description="a name: of the package, or of the filter", examples=["ivi"])]


class PackagePath(NamePath, frozen=True):
    """A package. Its name and version are not checked: no package has a wrong one."""

    version: Annotated[Text, Meta(description="the package's version", examples=["2.1.0"])]

    @property
    def package(self) -> PackageId:
        """Both in one."""
        return PackageId(name=self.name, version=self.version)


class PackageFilterPath(PackagePath, frozen=True):
    """A filter of a package."""

    filter: Annotated[Text, Meta(description="the name of a filter", examples=["my-filter"])]


class PartPath(Parameters, frozen=True):
    """A component."""

    part_number: Annotated[Text, Meta(description="a component's part number", examples=["TCU-5G.2"])]


class GroupPath(Parameters, frozen=True):
    """A group of vehicles."""

    group: Annotated[Label, Meta(description="the name of a group of vehicles", examples=["pilot"])]


class UserPath(Parameters, frozen=True):
    """An account."""

    user: Annotated[Text, Meta(description="the name of an account", examples=["alice"])]


class PagePath(Parameters, frozen=True):
    """A page of the console."""

    page: Annotated[Text, Meta(description="a page of the console", examples=["index"])]


class FilePath(Parameters, frozen=True):
    """A file of the console."""

    file: Annotated[Text, Meta(description="a file that the console's manifest names", examples=["console"])]


class DownloadPath(Parameters, frozen=True):
    """A download of a vehicle."""

    index: int


class BlockPath(DownloadPath, frozen=True):
    """A block of a download."""

    n: int


class CallbackPath(Parameters, frozen=True):
    """The address at which a program takes messages of its node."""

    secret: str
    service: str


class DriverPath(Parameters, frozen=True):
    """The driver's page."""

    secret: str


class DriverUpdatePath(DriverPath, frozen=True):
    """An update on the driver's page."""

    update_id: Id


PATHS = {frozenset(kind.__struct_fields__): kind for name, kind in tuple(globals().items()) if name.endswith("Path")}
"""The types above, by the names in a path."""


class ListQuery(Parameters, frozen=True, kw_only=True):
    """The query of a list: which page."""

    limit: Limit = 100
    cursor: Cursor | None = None


class RegexQuery(ListQuery, frozen=True):
    """The query of a list that can be searched."""

    regex: Regex | None = None


class WidenQuery(Parameters, frozen=True):
    """The query of a call that may let a package go to more vehicles."""

    widen: Widen = False


class DeleteFilterQuery(ListQuery, frozen=True):
    """The query of a call that deletes a filter and returns a page of the others."""

    widen: Widen = False


@functools.cache
def path_type(template: str) -> type[Parameters] | None:
    """Return the type of the values in a path, None for a template without any.

    Raises:
        KeyError: no type has these names.
    """
    names = frozenset(_SEGMENT.findall(template))
    return PATHS[names] if names else None


def written(query: Parameters | None) -> dict[str, str]:
    """Write a query as text, without what it leaves at the default."""
    given: dict[str, object] = msgspec.to_builtins(query) if query is not None else {}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
