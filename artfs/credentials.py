"""Credentials inside URIs: found, so that none is ever stored, logged or shown.

Whatever stores or shows a URI has it from `without_credentials`, and a text that may hold URIs
from `shown`: each error of artfs does, and each line of a log.
"""

from __future__ import annotations

import re

_HIERARCHICAL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\\\s]*)(.*)", re.DOTALL)
_OPAQUE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*:)?([/\\]*)([^?#]*@)(.*)", re.DOTALL)
_HOST = re.compile(r"[^:]*(:\d*)?|\[[^\]]*\](:\d*)?|arn:.*", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"'<>`]+")
_ASSIGNED = re.compile(r"\b((?:ssl)?passw(?:or)?d|pwd)=(?:'[^']*'|[^\s&;,'\"]+)", re.IGNORECASE)
# A web server's user name alone is often a token; elsewhere it says whose files are meant.
_WITHOUT_USER = frozenset({"http", "https", "s3", "gs"})
_ADDRESSES = frozenset(
    {"mailto", "sip", "sips", "xmpp", "acct", "news", "mid", "cid", "tag", "urn"}
)
# Schemes whose `?` is part of a name.
_WITHOUT_QUERY = frozenset({"file", "s3", "gs", "wandb-artifact", "artfs"})
_SECRET_WORDS = frozenset(
    {"auth", "authorization", "bearer", "hmac", "jwt", "key", "pass", "pw", "sas", "sig"}
)
_SECRET = re.compile(
    r".*(token|secret|passw(or)?d|passphrase|pwd|signature|credentials?|accesskeyid|googleaccessid"
    r"|(access|account|api|auth|client|private|secret|shared|subscription)key)"
)
_PAGING = re.compile(r"(next)?(page|next|continuation|sync)?[_-]?token")
# What only means something beside a signature, and may otherwise name what is asked for.
_BESIDE_SIGNATURE = re.compile(
    r"x-amz-.*|x-goog-.*|expires|policy|hdnts|s[etprv]|spr|srt?|ss|sip|ski?e?|sk(oid|tid|t|e|s|v)"
)
_SIGNATURE = re.compile(r"x-(amz|goog)-(signature|credential|security-token)")
_MOST_ENCODINGS = 3


def without_credentials(uri: str) -> str:
    """The URI without user:password and without secret parameters; all else is untouched.

    Of one that is malformed, so that its password may be anywhere, only the scheme is left.
    """
    match = _HIERARCHICAL.fullmatch(uri)
    if match is None:
        return _without_stray_user(uri)
    scheme, authority, rest = match.groups()
    user_info, at, host = authority.rpartition("@")
    if not at and "@" in rest and _HOST.fullmatch(authority) is None:
        # A password with a slash in it, most likely.
        return f"{scheme}://..."
    user = "" if scheme.lower() in _WITHOUT_USER else user_info.partition(":")[0]
    return f"{scheme}://{user}{'@' if user else ''}{host}{_without_secrets(scheme.lower(), rest)}"


def shown(text: str) -> str:
    """A text for people, with each URI in it without its credentials."""
    if "://" in text:
        text = _URL.sub(lambda match: without_credentials(match[0]), text)
    return _ASSIGNED.sub(r"\1=...", text) if "=" in text else text


def _without_stray_user(uri: str) -> str:
    """For what is no `scheme://…`, and may be meant to be."""
    match = _OPAQUE.fullmatch(uri)
    if match is None:
        return uri
    scheme, slashes, user_info, rest = match.groups(default="")
    name = scheme.removesuffix(":").lower()
    is_secret = bool(scheme) or ":" in user_info
    return f"{scheme}{slashes}{rest}" if is_secret and name not in _ADDRESSES else uri


def _without_secrets(scheme: str, rest: str) -> str:
    """The path, query and fragment without secret parameters."""
    before, hash_sign, fragment = rest.partition("#")
    path, _, query = before.partition("?")
    named = _SIGNATURE.fullmatch if scheme in _WITHOUT_QUERY else _is_secret
    names = [_name(each) for each in re.split("[&;]", f"{query}&{fragment}") if "=" in each]
    if not any(named(name) for name in names):
        return rest
    query, fragment = _kept(query), _kept(fragment)
    return f"{path}{'?' if query else ''}{query}{hash_sign if fragment else ''}{fragment}"


def _kept(parameters: str) -> str:
    kept = (
        ";".join(each for each in group.split(";") if not _belongs_to_secret(each))
        for group in parameters.split("&")
    )
    return "&".join(
        each for each, group in zip(kept, parameters.split("&"), strict=True) if each or not group
    )


def _belongs_to_secret(parameter: str) -> bool:
    name = _name(parameter)
    return _is_secret(name) or _BESIDE_SIGNATURE.fullmatch(name) is not None


def _is_secret(name: str) -> bool:
    if _PAGING.fullmatch(name) is not None and name != "token":
        return False
    parts = re.split(r"[^a-z0-9]+", name)
    return any(part in _SECRET_WORDS or _SECRET.fullmatch(part) for part in parts)


def _name(parameter: str) -> str:
    """A parameter's name as a server may read it, whatever it is wrapped in."""
    from urllib.parse import unquote  # noqa: PLC0415 - every command imports this module

    name = parameter.partition("=")[0].rpartition("?")[2]
    for _ in range(_MOST_ENCODINGS):
        name = unquote(name)
    return name.strip().casefold()
