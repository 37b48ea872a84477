"""Rows B1-1 to -3 and B1-9 to -17: the console's pages and files, signing in, and the session.

Whether a file is on the console's manifest is decided before the session is looked at; the login page and its files are
public, every other page asks for a session (docs/specification.md, rulings 5 to 7).
"""

from __future__ import annotations

from sota.boundaries.b1_browser_web import messages
from sota.boundaries.b1_browser_web.queries import AssetQuery, IndexQuery
from sota.boundaries.interaction import Boundary, Http, Program, Role, answers, behaves, declared, refuses

B1 = Boundary("B1", Program.WEB_BROWSER, Program.WEB_SERVER)

FORM_LIMIT = 1 << 14
CONSOLE = Http("GET", "/", query=IndexQuery, asset=True)
SIGN_IN = Http("POST", "/login", asset=True, max_body=None)

REDIRECTED = answers("redirected", "redirection to the login page, never cached", status=301)
COOKIE_SENT = behaves("cookie_sent", "the browser sends the cookies that it holds for the console's domain")

INDEX_PAGE = B1.row(
    "WL-B1-1",
    "index.html page",
    Http("GET", "/{page}.html", query=IndexQuery, asset=True),
    answers("served", "the console's page"),
    refuses("not_approved", 409, "Unknown page", "another HTML file is asked for"),
    also=(REDIRECTED,),
    role=Role.PUBLIC,
)
SCRIPTS = B1.row(
    "WL-B1-2",
    "Javascript scripts linked in index.html",
    Http("GET", "/assets/{file}.js", query=AssetQuery, asset=True),
    answers("served", "a script that the console links"),
    refuses("not_approved", 409, "Unknown script", "the script is unknown or not approved"),
    role=Role.PUBLIC,
)
STYLESHEETS = B1.row(
    "WL-B1-3",
    "CSS stylesheets linked in index.html",
    Http("GET", "/assets/{file}.css", query=AssetQuery, asset=True),
    answers("served", "a stylesheet that the console links"),
    refuses("not_approved", 409, "Unknown stylesheet", "the stylesheet is unknown or not approved"),
    role=Role.PUBLIC,
)
LOGIN_PAGE = B1.row(
    "WL-B1-9",
    "Login page and assets",
    Http("GET", "/login", asset=True),
    answers("served", "the login page, over HTTPS"),
    role=Role.PUBLIC,
)
LOGIN = B1.row(
    "WL-B1-10",
    "Login credentials",
    SIGN_IN,
    behaves("submitted", "the browser sends what the user entered, over HTTPS"),
    answers("signed_in", "the credentials are valid: the console and a session cookie"),
    refuses("denied", 401, "Access Denied", "the credentials are invalid: the login page again"),
    request=messages.Credentials,
    response=messages.SignedIn,
    role=Role.PUBLIC,
)
SET_COOKIE = B1.row(
    "WL-B1-11",
    "Session cookie to the browser",
    SIGN_IN,
    behaves("cookie_set", "the answer sets the session cookie: __Host-, Secure, HttpOnly, SameSite=Lax"),
    request=messages.Credentials,
    role=Role.PUBLIC,
)
SEND_COOKIE = B1.row("WL-B1-12", "Session cookie from the browser", CONSOLE, COOKIE_SENT, role=Role.PUBLIC)
REDIRECT_TO_LOGIN = B1.row("WL-B1-13", "Redirection to the login page", CONSOLE, REDIRECTED, role=Role.PUBLIC)
REDIRECT_BACK = B1.row(
    "WL-B1-14",
    "Redirection back to the last requested page",
    SIGN_IN,
    answers("returned", "redirection to the page that was asked for before signing in; same origin only", status=301),
    request=messages.Credentials,
    role=Role.PUBLIC,
)
REQUEST_PAGE = B1.row(
    "WL-B1-15",
    "Request for an Admin GUI resource",
    CONSOLE,
    behaves("requested", "the browser asks for a protected page"),
    COOKIE_SENT,
    role=Role.VIEWER,
)
PAGE = B1.row(
    "WL-B1-16",
    "Admin GUI resource and its assets",
    CONSOLE,
    answers("served", "the page, to a user who is signed in"),
    role=Role.VIEWER,
)
REDIRECT_UNAUTHENTICATED = B1.row(
    "WL-B1-17", "Redirection to the login page from a protected page", CONSOLE, REDIRECTED, role=Role.PUBLIC
)
LOGOUT = B1.row(
    "X-B1-7",
    "Sign out",
    Http("POST", "/logout", asset=True, max_body=FORM_LIMIT),
    answers("signed_out", "the session ends, the cookie is cleared, the login page follows", status=303),
    role=Role.VIEWER,
)
API_DOCUMENT = B1.row(
    "X-B1-8",
    "API document",
    Http("GET", "/api/openapi.json"),
    answers("served", "the Web Server's API, as OpenAPI 3.1"),
    response=messages.ApiDocument,
    role=Role.VIEWER,
)
API_PAGE = B1.row(
    "X-B1-9",
    "API document as a page",
    Http("GET", "/api/docs", asset=True),
    answers("served", "the Web Server's API, for people to read"),
    also=(REDIRECTED,),
    role=Role.VIEWER,
)

ROWS = declared(globals())
