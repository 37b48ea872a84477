"""The names of operations. Clients are generated from them: a name that stands here is never changed or used again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "GET /": "show_console",
        "GET /{page}.html": "show_page",
        "GET /assets/{file}.js": "get_script",
        "GET /assets/{file}.css": "get_stylesheet",
        "GET /login": "show_login_page",
        "POST /login": "sign_in",
        "POST /logout": "sign_out",
        "GET /api/openapi.json": "get_api_document",
        "GET /api/docs": "show_api_document",
        "POST /api/v1/vehicles": "register_vehicle",
        "GET /api/v1/vehicles": "search_vehicles",
        "GET /api/v1/vehicles/{vin}": "get_vehicle",
        "PUT /api/v1/vehicles/{vin}/packages": "replace_installed_packages",
        "GET /api/v1/vehicles/{vin}/packages": "list_installed_packages",
        "POST /api/v1/components": "register_component",
        "GET /api/v1/components": "search_components",
        "GET /api/v1/components/{part_number}": "get_component",
        "POST /api/v1/packages": "register_package",
        "GET /api/v1/packages": "search_packages",
        "GET /api/v1/packages/{name}/{version}": "get_package",
        "DELETE /api/v1/packages/{name}/{version}": "delete_package",
        "GET /api/v1/packages/{name}/{version}/file": "get_package_file",
        "GET /api/v1/packages/{name}/{version}/vehicles": "list_vehicles_with_package",
        "POST /api/v1/packages/{name}/{version}/filters": "associate_filter",
        "GET /api/v1/packages/{name}/{version}/filters": "list_package_filters",
        "POST /api/v1/filters": "create_filter",
        "GET /api/v1/filters": "search_filters",
        "PUT /api/v1/filters/{name}": "update_filter",
        "DELETE /api/v1/filters/{name}": "delete_filter",
        "POST /api/v1/campaigns": "create_campaign",
        "POST /api/v1/install-requests": "queue_package",
        "POST /api/v1/install-requests/batch": "queue_packages",
        "GET /api/v1/install-requests": "list_install_requests",
        "GET /api/v1/install-requests/{id}": "get_install_request",
        "GET /api/v1/install-requests/{id}/vehicles": "list_updates_of_request",
        "GET /api/v1/install-requests/{id}/completed": "list_completed_installs",
        "GET /api/v1/updates/{update_id}": "get_update",
        "POST /api/v1/resolve": "resolve_package",
        "POST /api/v1/facts": "tell_facts",
        "POST /api/v1/logistics/vehicles": "provision_vehicles",
    }
)
