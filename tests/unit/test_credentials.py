"""Credentials in URIs: taken out of whatever is stored or shown, and nothing else is."""

from __future__ import annotations

import pytest

from artfs.credentials import shown, without_credentials
from artfs.errors import ArtfsError, InvalidArgument
from artfs.references.registry import References

KEPT = [
    "ssh://git@h/a",
    "https://h/a@b",
    "https://h:80/a@b",
    "https://[::1]:80/a@b",
    "mailto:me@example.org",
    "s3://b/user@host/x",
    "s3://arn:aws:s3:us-east-1:1:accesspoint/a@b",
    "https://h/k?Expires=7&policy=x",
    "https://h/q?v=1&&x",
    "https://h/q?page_token=3&author=me&keyword=x&tokenizer=y&monkey=z",
    "https://h/q?a=b#section",
    "https://h/q#author=me",
    "gs://b/k#123",
    "file:///a?token=1",
    "s3://b/a?token=1",
    "a/b@c",
    "",
]
TAKEN_OUT = [
    ("https://user:pw@h/a?b=1#c", "https://h/a?b=1#c"),
    ("https://user:p@w@h/a", "https://h/a"),
    ("https://token@h/a", "https://h/a"),
    ("HTTPS://user:pw@h:8/a", "HTTPS://h:8/a"),
    ("sftp://me:pw@h/a", "sftp://me@h/a"),
    ("postgresql://me:pw@h:5432/db?sslpassword=x", "postgresql://me@h:5432/db"),
    ("s3://KEY:SECRET@bucket/a", "s3://bucket/a"),
    ("gs://KEY@bucket/a", "gs://bucket/a"),
    # What is malformed has its secrets anywhere.
    ("s3://KEY:SEC/RET@bucket/a", "s3://..."),
    ("https://user:p/w@h/a", "https://..."),
    ("https://user:p#w@h/a", "https://..."),
    ("https://user:p?w@h/a", "https://..."),
    ("http://user:pw@[h/a", "http://[h/a"),
    ("http:/user:pw@h/a", "http:/h/a"),
    ("http:user:pw@h/a", "http:h/a"),
    ("http:\\\\user:pw@h", "http:\\\\h"),
    ("user:pw@h/a", "user:h/a"),
    ("//user:pw@h/a", "//h/a"),
    (
        "https://h/k?X-Amz-Credential=C&X-Amz-Date=D&X-Amz-Expires=6&versionId=7&X-Amz-Signature=S",
        "https://h/k?versionId=7",
    ),
    ("https://h/k?AWSAccessKeyId=A&Signature=S%3D&Expires=1", "https://h/k"),
    ("https://h/k?X-Goog-Signature=S&X-Goog-Date=D&generation=3", "https://h/k?generation=3"),
    ("https://a.blob/k?sv=1&se=2&sr=b&sp=r&sig=S&snapshot=4", "https://a.blob/k?snapshot=4"),
    ("https://h/k?X%2DAmz%2dSignature=S", "https://h/k"),
    ("https://h/k?to%256Ben=a", "https://h/k"),
    ("https://h/k?a=1;token=b;c=2&d=3", "https://h/k?a=1;c=2&d=3"),
    ("https://h/k#access_token=a&v=1", "https://h/k#v=1"),
    ("https://h/k?v=1#/x?access_token=a", "https://h/k?v=1"),
    ("s3://b/k?X-Amz-Signature=S&X-Amz-Date=D", "s3://b/k"),
]
SECRET_NAMES = [
    "access_token", "ACCESS_TOKEN", "accessToken", "token", "private-token", "id_token", "pwd",
    "passwd", "password", "Pass", "user_password", "auth", "Authorization", "key", "api_key",
    "apikey", "x-api-key", "Key-Pair-Id", "sig", "signature", "secret", "client_secret",
    "credential", "credentials", "jwt", "subscription-key", "sharedAccessSignature", "p%61sswd",
]  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        *((uri, uri) for uri in KEPT),
        *TAKEN_OUT,
        *((f"https://h/k?{name}=a&v=1", "https://h/k?v=1") for name in SECRET_NAMES),
    ],
)
def test_credentials_are_taken_out_of_uris_and_nothing_else(uri: str, public: str) -> None:
    assert without_credentials(uri) == public
    assert without_credentials(public) == public


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("asked http://u:hidden@h/a and s3://K:hidden@b/c", "asked http://h/a and s3://b/c"),
        ("connection to 'postgresql://me:hidden@h/db'", "connection to 'postgresql://me@h/db'"),
        ("dsn host=h password=hidden user=u", "dsn host=h password=... user=u"),
        ("nothing here: a=b, c@d", "nothing here: a=b, c@d"),
    ],
)
def test_no_error_says_what_only_its_maker_should_know(text: str, public: str) -> None:
    assert shown(text) == public
    error = ArtfsError(text, text, hint=text)
    assert (error.subject, error.reason, error.hint) == (public, public, public)
    assert "hidden" not in f"{error!r} {error}"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:hidden@bucket/a",
        "s3://KEY:hid/hidden@bucket/a",
        "gs://KEY:hidden@bucket/a",
        "http://user:hidden@[h/a",
        "http://user:hid/hidden@h/a",
        "user:hidden@h/a",
        "//user:hidden@h/a",
        "http:/user:hidden@h/a",
        "unknown://user:hidden@h/a",
        "unknown://h/a?password=hidden",
        "file://user:hidden@h/a",
    ],
)
def test_a_uri_that_cannot_be_referred_to_is_refused_without_its_credentials(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        list(References().describe(uri))
    assert "hidden" not in f"{caught.value!r}{caplog.text}"
