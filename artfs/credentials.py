"""Credentials inside URIs: found, so that none is ever stored, logged or shown.

Whatever stores or shows a URI has it from `without_credentials`, and a text that may hold URIs
from `shown`: each error of artfs does, and each line of a log. Both find the same: what stands
before the `@` of anything that may be read as `scheme://user:password@host`, and parameters whose
names say that they are secret. A URI within a URI counts, and so does what is percent-encoded.

All of it takes time in proportion to the length of the text, whatever that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?([/\\]*)([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"[^:\\]*(:\d{1,5})?|\[[^\]]*\](:\d{1,5})?|arn:.*", re.IGNORECASE | re.DOTALL)
_AT = re.compile(r"@|%(?:25)*40")
_COLON = re.compile(r":|%(?:25)*3a", re.IGNORECASE)
_USER_ENDS = re.compile(r"[:;]|%(?:25)*3[ab]", re.IGNORECASE)
# A web server's user name alone is often a token; elsewhere it says whose files are meant.
_WITHOUT_USER = frozenset({"http", "https", "ws", "wss", "s3", "gs"})
_ADDRESSES = frozenset(
    {"mailto", "sip", "sips", "xmpp", "acct", "news", "mid", "cid", "tag", "urn"}
)
# Schemes of artfs, with names and aliases where others have a host.
_OF_ARTFS = frozenset({"wandb-artifact", "artfs"})
# Schemes whose `?` is part of a name, and whatever looks like a URI behind their host.
_WITHOUT_QUERY = frozenset({"file", "s3", "gs"}) | _OF_ARTFS

# A URI within a URI; how long a scheme may be keeps the search linear.
_NESTED = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,30}):[/\\]+")
_AUTHORITY_ENDS = re.compile(r"[/?#&]")
_NESTED_AUTHORITY = re.compile(r"[^/?#&]*")
_PATH_PARAMETER = re.compile(r";[^;/?#]*")
_PARAMETER = re.compile(r"[?#&;][^?#&;]*")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_ENCODED_OFTEN = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_MOST_ENCODINGS = 3
_MOST_ROUNDS = 3

_SECRET_WORDS = frozenset(
    {
        *("auth", "oauth", "authorization", "bearer", "hmac", "jwt", "key", "pass", "pw", "sas"),
        *("sig", "sign", "sid", "ticket", "otp", "totp", "csrf", "xsrf", "cred", "creds"),
        *("assertion", "samlresponse", "hdnea", "hdnts", "hdntl"),
    }
)
_SECRET = re.compile(
    r".*(token|secret|passw(or)?d|passphrase|pwd|signature|credentials?|accesskeyid|googleaccessid"
    r"|sess(ion)?(id)?"
    r"|(access|account|api|app|auth|client|consumer|master|private|secret|shared|subscription|user)"
    r"key)",
    re.DOTALL,
)
_PAGING = re.compile(r"(next)?(page|next|continuation|sync)?[_-]?token")
# What only means something beside a signature, and may otherwise name what is asked for.
_BESIDE_SIGNATURE = re.compile(
    r"x-amz-.*|x-goog-.*|expires|policy|s[etprv]|spr|srt?|ss|sip|ski?e?|sk(oid|tid|t|e|s|v)"
)
_SIGNATURE = re.compile(r"x-(amz|goog)-(signature|credential|security-token)")

_IN_TEXT = re.compile(
    # A URI: any with two slashes, those of the web however many they have.
    r"(?P<uri>(?:[A-Za-z][A-Za-z0-9+.\-]{0,30}(?::|%(?:25)*3a)(?:[/\\]|%(?:25)*(?:2f|5c)){2}"
    r"|\b(?:https?|wss?|s3|gs|s?ftp):|(?<![^\s\"'<>`(=,])//(?=[^\s/?#@:]*:[^\s/?#]*@)))"
    # A parameter without its URI, as libraries log requests, or of a connection string.
    r"|(?P<before>[?&;#]|(?<![\w/\-]))(?P<name>[\w.%\-\[\]]{1,64})=",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s|\Z")
_UNQUOTED = re.compile(r"[^\s\"'<>`]*")
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+")


def without_credentials(uri: str) -> str:
    """The URI without user:password and without secret parameters; all else is untouched.

    Of one that is malformed, so that its password may be anywhere, only the scheme is left.
    """
    for _ in range(_MOST_ROUNDS):
        found = _without_what_is_seen(uri)
        if found == uri:
            return uri
        # What is left of it may look like another one, if somebody meant it to.
        uri = found
    return uri if _without_what_is_seen(uri) == uri else _malformed(_PARTS.match(uri))


def is_malformed(uri: str) -> bool:
    """Whether nobody can tell where the credentials in it end: only its scheme is public."""
    return without_credentials(uri) == _malformed(_PARTS.match(uri)) != uri


def shown(text: str) -> str:
    """A text for people, with each URI in it without its credentials.

    Mail addresses, names and paths with an `@` are left as they are.
    """
    if "@" not in text and "=" not in text and "%" not in text:
        return text
    kept, end, space, last_at = list[str](), 0, -1, -1
    while match := _IN_TEXT.search(text, end):
        kept.append(text[end : match.start()])
        if match["uri"] is None:
            kept.append(match[0])
            end = match.end()
            value = _VALUE.match(text, end)
            if value and _is_hidden(match["name"], in_uri=bool(match["before"])):
                kept.append("...")
                end = value.end()
            continue
        if space < match.end():
            space = _SPACE.search(text, match.end()).start()  # type: ignore[union-attr]
            last_at = text.rfind("@", match.end(), space)
        # A quote ends it, unless that is in a password.
        end = _UNQUOTED.match(text, max(match.end(), last_at)).end()  # type: ignore[union-attr]
        kept.append(without_credentials(text[match.start() : end]))
    return "".join(kept) + text[end:]


def _is_hidden(name: str, *, in_uri: bool) -> bool:
    name = _name(f"{name}=")
    if in_uri:
        return _is_secret(name)
    # Alone, `key=` is nobody's secret.
    if _PAGING.fullmatch(name) is not None and name != "token":
        return False
    return _SECRET.fullmatch(re.sub(r"[^a-z0-9]+", "", name)) is not None


def _without_what_is_seen(uri: str) -> str:
    match = _PARTS.fullmatch(uri)
    assert match is not None, "everything has these parts"
    name, slashes, authority, rest = match.groups(default="")
    scheme = name.lower()
    if not _has_user(scheme, slashes):
        user = host = ""
        kept = authority
    elif scheme and not slashes:
        # `https:user:password@host`: how far it goes is anybody's guess.
        end = _last_end(_AT, authority + rest)
        return f"{name}:{(authority + rest)[end:]}" if end else _without_secrets(uri, 0, scheme)
    else:
        user, at, host = authority.rpartition("@")
        if "\\" in user or _AT.search(host) or (_AT.search(rest) and _is_odd(host, rest, at=at)):
            return _malformed(match)
        kept = f"{_public_user(scheme, user)}{host}"
    head = f"{uri[: match.start(3)]}{kept}"
    return _without_secrets(f"{head}{rest}", len(head), scheme)


def _malformed(match: re.Match[str] | None) -> str:
    assert match is not None
    return f"{match[0][: match.start(3)]}..."


def _has_user(scheme: str, slashes: str) -> bool:
    """Whether what follows may be `user:password@host`."""
    if scheme in _OF_ARTFS:
        return False
    if scheme == "file":
        return len(slashes) == 2
    if scheme in _ADDRESSES:
        return len(slashes) > 1
    # `/a:b@c` is a path.
    return bool(scheme) or len(slashes) != 1


def _is_odd(host: str, rest: str, *, at: str) -> bool:
    """Whether a password may go on in the rest, where there is an `@`: with a slash, most likely.

    A port may be the beginning of one: where a fragment follows it, or a query without a name.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return True
    if at or not (match[1] or match[2]):
        return False
    return rest[:1] == "#" or (rest[:1] == "?" and "=" not in rest.partition("@")[0])


def _public_user(scheme: str, user_info: str) -> str:
    """What may be known of it, and an `@`."""
    if not _WITHOUT_USER.isdisjoint(scheme.split("+")):
        return ""
    user = _USER_ENDS.split(user_info, maxsplit=1)[0]
    if not scheme and user != user_info:
        return ""
    return f"{user}@" if user else ""


def _without_secrets(uri: str, start: int, scheme: str) -> str:
    """The URI without what is secret behind `start`: its path, query and fragment."""
    rest = uri[start:]
    if scheme in _WITHOUT_QUERY:
        names = [_name(each[0][1:]) for each in _PARAMETER.finditer(rest)]
        if not any(_SIGNATURE.fullmatch(name) for name in names):
            return uri
        return uri[:start] + _cut(rest, _parameters(rest))
    # A whole URI that is encoded has no scheme of its own.
    text = rest if scheme or start else uri
    kept = uri[: len(uri) - len(text)]
    spans = [*_parameters(text), *_users(text)]
    if "%" in text:
        for plain, offsets in _decoded(text):
            spans += (
                (offsets[first], offsets[last])
                for find in (_parameters, _users)
                for first, last in find(plain)
            )
    return kept + _cut(text, spans)


def _cut(text: str, spans: list[tuple[int, int]] | Iterator[tuple[int, int]]) -> str:
    kept, end = list[str](), 0
    for first, last in sorted(spans):
        kept.append(text[end : max(first, end)])
        end = max(end, last)
    return "".join(kept) + text[end:]


def _users(text: str) -> Iterator[tuple[int, int]]:
    """Where `user:password@` stands in the URIs within a text."""
    found = list(_starts(text))
    for match, following in zip_longest(found, found[1:]):
        end = following.start() if following else len(text)
        scheme, piece = match[1].lower(), text[match.end() : end]
        authority = _NESTED_AUTHORITY.match(piece)
        assert authority is not None
        _user, at, host = authority[0].rpartition("@")
        rest = piece[authority.end() :]
        if _AT.search(rest) and _is_odd(host, rest, at=at):
            last = _last_end(_AT, piece)
        else:
            last = _last_end(_AT, authority[0])
        is_secret = scheme.split("+")[-1] in _WITHOUT_USER or _COLON.search(piece[:last])
        if last and is_secret:
            yield match.end(), match.end() + last


def _starts(text: str) -> Iterator[re.Match[str]]:
    """Where URIs begin within a text; what goes on right behind one may be a user, not a scheme."""
    end = None
    for match in _NESTED.finditer(text):
        if end is None or _AUTHORITY_ENDS.search(text, end, match.start()):
            yield match
        end = match.end()


def _parameters(text: str) -> Iterator[tuple[int, int]]:
    """Where secret parameters stand in a path, query and fragment, each with one separator."""
    begin = re.search(r"[?#]", text)
    tail = begin.start() if begin else len(text)
    in_path = list(_PATH_PARAMETER.finditer(text, 0, tail))
    in_tail = list(_PARAMETER.finditer(text, tail))
    names = [_name(each[0][1:]) for each in (*in_path, *in_tail)]
    secret = [_is_secret(name) for name in names]
    if not any(secret):
        return
    is_cut = [
        found or _BESIDE_SIGNATURE.fullmatch(name) is not None
        for found, name in zip(secret, names, strict=True)
    ]
    yield from (m.span() for m, cut in zip(in_path, is_cut[: len(in_path)], strict=True) if cut)
    # What follows a `?` or `#` takes the place of what is cut there.
    leading: tuple[int, int] | None = None
    for match, cut in zip(in_tail, is_cut[len(in_path) :], strict=True):
        if match[0][0] in "?#":
            if leading:
                yield leading
            leading = match.span() if cut else None
        elif leading and cut:
            leading = leading[0], match.end()
        elif leading:
            yield leading[0] + 1, match.start() + 1
            leading = None
        elif cut:
            yield match.span()
    if leading:
        yield leading


def _decoded(text: str) -> Iterator[tuple[str, list[int]]]:
    """The text without one, two, … and all of its percent-encodings, and where each character and
    the end of it stand in the text.
    """
    plain, offsets = text, list(range(len(text) + 1))
    for _ in range(_MOST_ENCODINGS):
        if "%" not in plain:
            return
        encoded = plain
        plain, offsets = _decoded_once(_ENCODED, plain, offsets)
        if plain == encoded:
            return
        yield plain, offsets
    if "%" in plain:
        yield _decoded_once(_ENCODED_OFTEN, text, list(range(len(text) + 1)))


def _decoded_once(encoded: re.Pattern[str], text: str, offsets: list[int]) -> tuple[str, list[int]]:
    plain, kept, end = list[str](), list[int](), 0
    for match in encoded.finditer(text):
        plain += (text[end : match.start()], chr(int(match[1], 16)))
        kept += offsets[end : match.start() + 1]
        end = match.end()
    return "".join(plain) + text[end:], kept + offsets[end:]


def _last_end(pattern: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in pattern.finditer(text)), default=0)


def _is_secret(name: str) -> bool:
    if _PAGING.fullmatch(name) is not None and name != "token":
        return False
    parts = re.split(r"[^a-z0-9]+", name)
    return any(part in _SECRET_WORDS or _SECRET.fullmatch(part) for part in parts)


def _name(parameter: str) -> str:
    """A parameter's name as a server may read it, however it is encoded."""
    from urllib.parse import unquote  # noqa: PLC0415 - every command imports this module

    name = parameter.partition("=")[0]
    if name == parameter:
        # One without a value says nothing.
        return ""
    for _ in range(_MOST_ENCODINGS):
        name = unquote(name)
    return name.strip().casefold()
