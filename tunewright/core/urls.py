"""Where data may be besides files: database URLs, and how their secrets stay out of everything that is written.

postgresql://ann:${PGPASSWORD}@db.example.org/shop   in logs, ids and errors: postgresql://db.example.org/shop
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

_URL = re.compile(r"[a-z][a-z0-9+]+:|\$\{")  # a drive letter has one character
_LOCAL = re.compile(r"(sqlite|duckdb):///(?!/)(.+)", re.DOTALL)
_MEMORY = re.compile(r"duckdb:(//)?(/?:memory:)?", re.DOTALL)
_USER = re.compile(r"(?<=://)([^/?#]*)@")
_SECRET = re.compile(r"(?i)\b(password|passwd|pass|pwd|token|secret|[a-z_]*key)=([^&\s]*)")
_HOSTED = {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "syslog", "dbus"}
_WORD = re.compile(r"[a-z]{1,16}|v\d")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_url(path: str) -> bool:
    """True for a database URL, also for one that begins with an environment variable."""
    return _URL.match(path) is not None


def absolute(path: str, folder: Path) -> str:
    """`path` with files taken relative to `folder`. `duckdb:` (in memory) carries the folder that its queries find files in."""
    if not is_url(path):
        return str((folder / path).resolve())
    if _MEMORY.fullmatch(path):
        return f"duckdb:{folder.resolve()}"
    local = _LOCAL.fullmatch(path)
    return f"{local[1]}:///{(folder / local[2]).resolve()}" if local else path


def masked(path: str) -> str:
    """`path` with every literal user name, password and key as ***; `${NAME}` stays, for it is no secret."""
    if not is_url(path):
        return path
    path = _USER.sub(lambda found: ":".join(_hidden(part) for part in found[1].split(":", 1)) + "@", path)
    return _SECRET.sub(lambda found: f"{found[1]}={_hidden(found[2])}", path)


def masked_service(url: str) -> str:
    """An Apprise URL without what could be a secret. Services keep tokens anywhere (`slack://TOKEN/TOKEN`), so only web hooks and mail
    (`json://`, `mailto://` ...) show their host and plain words of their path; of others the scheme and `${NAME}` stay."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url if _VARIABLE.fullmatch(url) else "***"
    if scheme.lower() not in _HOSTED:
        parts = re.split(r"(\$\{\w+\}|[/@:?&=])", rest)
        return f"{scheme}://" + "".join(part if not part or part in "/@:?&=" or _VARIABLE.fullmatch(part) else "***" for part in parts)
    place, query, asked = masked(url).partition("?")
    scheme, mark, rest = place.partition("://")
    host, *path = rest.split("/")
    shown = [part if not part or _WORD.fullmatch(part) or _VARIABLE.fullmatch(part) else "***" for part in path]
    return f"{scheme}://{'/'.join([host, *shown])}{query}{asked}"


def named(path: str) -> str:
    """`path` without any credentials, as rows name their source."""
    return _SECRET.sub(lambda found: f"{found[1]}=***", _USER.sub("", path))


def expanded(path: str) -> tuple[str, list[str]]:
    """(`path` with `${NAME}` replaced from the environment, the strings that must never be shown). Raises `KeyError` with the name."""
    secrets = [os.environ[name] for name in _VARIABLE.findall(path)]
    full = _VARIABLE.sub(lambda found: os.environ[found[1]], path)
    for user in _USER.findall(full):
        secrets += [*user.split(":", 1), *map(unquote, user.split(":", 1))]
    secrets += [value for _, value in _SECRET.findall(full)]
    return full, sorted({one for one in secrets if one}, key=len, reverse=True)


def without(secrets: list[str], text: str) -> str:
    """`text` with every secret as ***; one that is a plain word only where it stands as a word."""
    for secret in secrets:
        found = rf"(?<!\w){re.escape(secret)}(?!\w)" if secret.isalpha() and len(secret) < 8 else re.escape(secret)
        text = re.sub(found, "***", text)
    return text


def _hidden(part: str) -> str:
    return part if not part or _VARIABLE.fullmatch(part) else "***"
