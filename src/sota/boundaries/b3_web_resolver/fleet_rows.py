"""Rows of B3, Web Server to External Resolver: attributes and groups of vehicles. All are extensions of ours."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver import fleet_messages as messages
from sota.boundaries.interaction import Boundary, Http, Program, answers, declared, refuses
from sota.boundaries.ordinary import AUTHENTICATION_FAILED, NOT_FOUND
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly, Vin

B3 = Boundary("B3", Program.WEB_SERVER, Program.EXTERNAL_RESOLVER, also=(AUTHENTICATION_FAILED,))

ATTRIBUTES = B3.row(
    "X-B3-5",
    "The attributes of a vehicle",
    Http("GET", "/api/v1/vehicles/{vin}/attributes"),
    answers("found", "its attributes by name; an empty object where it has none"),
    also=(NOT_FOUND,),
    response=messages.Attributes,
)
CHANGE_ATTRIBUTES = B3.row(
    "X-B3-6",
    "Change the attributes of a vehicle",
    Http("PUT", "/api/v1/vehicles/{vin}/attributes"),
    answers("changed", "its attributes are exactly these"),
    also=(NOT_FOUND,),
    request=messages.Attributes,
    response=messages.Attributes,
)
GROUPS = B3.row(
    "X-B3-7",
    "The groups of vehicles",
    Http("GET", "/api/v1/groups", query=ListQuery),
    answers("listed", "the groups by name"),
    answers("empty", "there are none: an empty list"),
    response=list[messages.Group],
)
GROUP = B3.row(
    "X-B3-8",
    "A group of vehicles",
    Http("GET", "/api/v1/groups/{group}"),
    answers("found", "the group"),
    also=(NOT_FOUND,),
    response=messages.Group,
)
KEEP_GROUP = B3.row(
    "X-B3-9",
    "Make or change a group of vehicles",
    Http("PUT", "/api/v1/groups/{group}"),
    answers("kept", "there is a group of this name and description; its vehicles stay"),
    request=messages.GroupChange,
    response=messages.Group,
)
DELETE_GROUP = B3.row(
    "X-B3-10",
    "Delete a group of vehicles",
    Http("DELETE", "/api/v1/groups/{group}"),
    answers("deleted", "the group is gone, its vehicles are not", "Group deleted"),
    also=(NOT_FOUND, refuses("group_in_use", 409, "Group is in use", "a filter asks for the group")),
    response=MessageOnly,
)
MEMBERS = B3.row(
    "X-B3-11",
    "The vehicles of a group",
    Http("GET", "/api/v1/groups/{group}/vehicles", query=ListQuery),
    answers("listed", "the VINs in order"),
    answers("empty", "no vehicle is in it: an empty list"),
    also=(NOT_FOUND,),
    response=list[Vin],
)
ADD_MEMBERS = B3.row(
    "X-B3-12",
    "Add vehicles to a group",
    Http("PUT", "/api/v1/groups/{group}/vehicles"),
    answers("changed", "all that are registered are in it now"),
    also=(NOT_FOUND,),
    request=messages.Vins,
    response=messages.MembersChanged,
)
REMOVE_MEMBERS = B3.row(
    "X-B3-13",
    "Remove vehicles from a group",
    Http("DELETE", "/api/v1/groups/{group}/vehicles"),
    answers("changed", "none of them is in it any more"),
    also=(NOT_FOUND,),
    request=messages.Vins,
    response=messages.MembersChanged,
)

ROWS = declared(globals())
