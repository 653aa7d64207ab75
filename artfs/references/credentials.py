"""Credentials inside URIs: found, so that none is ever stored, logged or shown."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#@]*)@")
# Schemes whose `?` is part of a name.
_WITHOUT_QUERY = ("file:", "s3:", "gs:", "wandb-artifact:", "artfs:")
_SECRET = re.compile(
    r"x-amz-(signature|credential|security-token)|x-goog-(signature|credential)|signature|sig"
    r"|(access|auth|id|private)?[_-]?token|api[_-]?key|key-pair-id|awsaccesskeyid|googleaccessid"
    r"|(ssl)?password|secret|client[_-]secret"
)
# What only means something beside a signature, and may otherwise name what is asked for.
_BESIDE_SIGNATURE = re.compile(
    r"x-amz-.*|x-goog-.*|expires|policy|hdnts|s[etprv]|spr|srt?|ss|sip|ski?e?|sk(oid|tid|t|e|s|v)"
)


def without_credentials(uri: str) -> str:
    """The URI without user:password and without signature parameters; all else is untouched."""
    uri = _without_user(uri)
    before, question, rest = uri.partition("?")
    if not question or uri.lower().startswith(_WITHOUT_QUERY):
        return uri
    query, hash_sign, fragment = rest.partition("#")
    parameters = query.split("&")
    if not any(_SECRET.fullmatch(_key(parameter)) for parameter in parameters):
        return uri
    kept = "&".join(parameter for parameter in parameters if not _belongs_to_secret(parameter))
    return before + ("?" + kept if kept else "") + hash_sign + fragment


def _without_user(uri: str) -> str:
    match = _USER_INFO.match(uri)
    if match is None:
        return uri
    scheme, user_info = match.groups()
    # A web server's user name alone is often a token; elsewhere it says whose files are meant.
    user = "" if scheme.lower() in {"http", "https"} else user_info.partition(":")[0]
    return f"{scheme}://{user}{'@' if user else ''}{uri[match.end() :]}"


def _belongs_to_secret(parameter: str) -> bool:
    key = _key(parameter)
    return _SECRET.fullmatch(key) is not None or _BESIDE_SIGNATURE.fullmatch(key) is not None


def _key(parameter: str) -> str:
    return parameter.partition("=")[0].lower()
