"""`dashboard`: the way into the page that a running `serve` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.domain.errors import ConfigError, InvalidInput
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import service_address

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_URL: Final = "http://127.0.0.1:8289"
_ENDING: Final = ".dashboard.html"
_PAGE: Final = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={url}">\n'


def dashboard(call: Call) -> Document:
    """Answer with the address; the token stands after `#`, which no browser sends and no server logs."""
    services = call.services
    base = _base(call.text("url") or service_address(services) or _URL)
    token = services.filed_operator_token()
    if token is None:
        raise ConfigError(
            f"there is no token of an operator in {services.token_file}",
            hint="start `promptyoself serve` once on this database; or issue one: promptyoself token create --operator",
        )
    url = f"{base}/#token={token}"
    if not call.is_set("open"):
        return wire.success(url=url, message=url)
    _open(call, url)
    return wire.success(url=f"{base}/", message=f"Opened {base}/")


def _base(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        is_plain = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        is_plain = False
    if not is_plain or any(one in text for one in "\"'<>@; ") or not text.isascii() or not text.isprintable():
        raise InvalidInput("the url is no address of a service", hint=f"such as {_URL}")
    return text.rstrip("/")


def _open(call: Call, url: str) -> None:
    """Open a file of ours that leads there: a browser's command line, with the token on it, is everybody's to read."""
    import webbrowser
    from pathlib import Path

    from promptyoself.interfaces.files import write_new

    page = write_new(f"{call.services.beside}{_ENDING}", _PAGE.format(url=url), may_replace=True)
    if not webbrowser.open(Path(page).as_uri()):
        raise ConfigError("no browser could be started here", hint="open what `promptyoself dashboard` prints")
