"""Rows of B1 for administration: one's own account, accounts, tokens, sessions, the audit trail. All are extensions.

Two rows change something although they are not for operators: each user changes their own password and sessions.
"""

from __future__ import annotations

from sota.boundaries import audit
from sota.boundaries.b1_browser_web import admin_messages as messages
from sota.boundaries.b1_browser_web.page_rows import B1, FORM_LIMIT, REDIRECTED
from sota.boundaries.b1_browser_web.queries import ProgramAuditQuery, ProgramQuery
from sota.boundaries.interaction import Http, Role, answers, declared, refuses
from sota.boundaries.ordinary import NOT_FOUND
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly

NO_ACCOUNT = refuses(
    "no_account", 409, "No account", "the caller is a service's token, which has no account of its own"
)
WRONG_PASSWORD = refuses("wrong_password", 403, "Wrong password", "the old password is not the account's")
LAST_ADMIN = refuses("last_admin", 409, "Last admin", "no admin would be left")

PASSWORD_PAGE = B1.row(
    "X-B1-40",
    "Page to change one's password",
    Http("GET", "/password", asset=True),
    answers("served", "the page, to a signed-in user"),
    also=(REDIRECTED,),
    role=Role.VIEWER,
)
CHANGE_PASSWORD_FORM = B1.row(
    "X-B1-41",
    "Change one's password by the page's form",
    Http("POST", "/password", asset=True, max_body=FORM_LIMIT),
    answers("changed", "the password is changed, a new session begins, the console follows", status=303),
    refuses("denied", 403, "Password not changed", "the old password is wrong, or the new one will not do: the page"),
    also=(REDIRECTED,),
    role=Role.VIEWER,
)
CHANGE_PASSWORD = B1.row(
    "X-B1-42",
    "Change one's password",
    Http("PUT", "/api/v1/account/password"),
    answers("changed", "the password is changed and all sessions ended; a browser has a new one", "Password changed"),
    WRONG_PASSWORD,
    NO_ACCOUNT,
    request=messages.PasswordChange,
    response=messages.PasswordChanged,
    role=Role.VIEWER,
)
OWN_SESSIONS = B1.row(
    "X-B1-43",
    "One's sessions",
    Http("GET", "/api/v1/account/sessions"),
    answers("listed", "the sessions of the caller's account"),
    answers("empty", "this account has no session: an empty list"),
    NO_ACCOUNT,
    response=list[messages.SessionEntry],
    role=Role.VIEWER,
)
END_SESSIONS = B1.row(
    "X-B1-44",
    "Sign out everywhere",
    Http("DELETE", "/api/v1/account/sessions"),
    answers("signed_out", "all sessions of the caller's account ended, this one too", "Signed out everywhere"),
    NO_ACCOUNT,
    response=MessageOnly,
    role=Role.VIEWER,
)
USERS = B1.row(
    "X-B1-45",
    "Accounts",
    Http("GET", "/api/v1/users", query=ListQuery),
    answers("listed", "the accounts, by name"),
    answers("empty", "the list ends here: an empty list"),
    response=list[messages.User],
    role=Role.ADMIN,
)
NEW_USER = B1.row(
    "X-B1-46",
    "New account",
    Http("POST", "/api/v1/users"),
    answers("created", "the account is made; its password must be replaced at the first sign-in", "Account created"),
    refuses("user_exists", 409, "Account already exists", "there is an account of that name"),
    request=messages.NewUser,
    response=messages.UserCreated,
    role=Role.ADMIN,
)
USER = B1.row(
    "X-B1-47",
    "An account",
    Http("GET", "/api/v1/users/{user}"),
    answers("found", "the account"),
    also=(NOT_FOUND,),
    response=messages.User,
    role=Role.ADMIN,
)
CHANGE_USER = B1.row(
    "X-B1-48",
    "Change an account",
    Http("PUT", "/api/v1/users/{user}"),
    answers("changed", "the account is changed and its sessions ended", "Account changed"),
    LAST_ADMIN,
    also=(NOT_FOUND,),
    request=messages.UserChange,
    response=messages.UserCreated,
    role=Role.ADMIN,
)
DELETE_USER = B1.row(
    "X-B1-49",
    "Delete an account",
    Http("DELETE", "/api/v1/users/{user}"),
    answers("deleted", "the account, its sessions and its tokens are gone", "Account deleted"),
    LAST_ADMIN,
    also=(NOT_FOUND,),
    response=MessageOnly,
    role=Role.ADMIN,
)
TOKENS = B1.row(
    "X-B1-50",
    "API tokens",
    Http("GET", "/api/v1/tokens", query=ListQuery),
    answers("listed", "the caller's own tokens that are valid; an admin sees all"),
    answers("empty", "there is none: an empty list"),
    response=list[messages.Token],
    role=Role.VIEWER,
)
NEW_TOKEN = B1.row(
    "X-B1-51",
    "New API token",
    Http("POST", "/api/v1/tokens"),
    answers("created", "the token is made, and shown this once", "Token created"),
    refuses("above_own_role", 403, "Above your own role", "the token would be allowed more than its maker"),
    NO_ACCOUNT,
    request=messages.NewToken,
    response=messages.TokenCreated,
    role=Role.VIEWER,
)
REVOKE_TOKEN = B1.row(
    "X-B1-52",
    "Revoke an API token",
    Http("DELETE", "/api/v1/tokens/{id}"),
    answers("revoked", "the token is worth nothing any more", "Token revoked"),
    also=(NOT_FOUND,),
    response=MessageOnly,
    role=Role.VIEWER,
)
AUDIT = B1.row(
    "X-B1-53",
    "The audit trail",
    Http("GET", "/api/v1/audit", query=ProgramAuditQuery),
    answers("listed", "the records that are asked for, newest first"),
    answers("empty", "there is no such record: an empty list"),
    response=list[audit.AuditRecord],
    role=Role.ADMIN,
)
VERIFY_AUDIT = B1.row(
    "X-B1-54",
    "Check the audit trail",
    Http("GET", "/api/v1/audit/verify", query=ProgramQuery),
    answers("checked", "whether the chain holds, and where it is broken"),
    response=audit.AuditVerdict,
    role=Role.ADMIN,
)

ROWS = declared(globals())
OWN = (CHANGE_PASSWORD_FORM, CHANGE_PASSWORD, END_SESSIONS, NEW_TOKEN, REVOKE_TOKEN)
"""Rows that change something and are for viewers too: it is their own."""
