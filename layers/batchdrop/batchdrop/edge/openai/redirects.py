"""Follows redirects on the server itself, never to another place.

Rule: neither the key nor what people dropped goes anywhere that the base URL does not name. The client takes one header off on
its way to another host; a key in another header, and the body of an upload, would travel.
"""

from typing import Final

import httpx2

REFUSED: Final = "redirected"
_HEADER: Final = "location"
_HOST_CHARS_MAX: Final = 100


def stay(response: httpx2.Response) -> None:
    """Take from *response* the address that leads to another scheme, host or port, so that it isn't followed: a response hook."""
    if not response.has_redirect_location:
        return
    here = response.request.url
    there = _target(response)
    if there is None or _origin(there) != _origin(here):
        del response.headers[_HEADER]
        shown = f"{there.scheme}://{there.host[:_HOST_CHARS_MAX]}" if there else "an address that is none"
        response.extensions[REFUSED] = shown


def refused_target(response: httpx2.Response) -> str | None:
    """Return where *response* would have led; None where nothing was refused."""
    target = response.extensions.get(REFUSED)
    return target if isinstance(target, str) else None


def _target(response: httpx2.Response) -> httpx2.URL | None:
    try:
        return response.request.url.join(response.headers[_HEADER])
    except (httpx2.InvalidURL, ValueError):
        return None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default
