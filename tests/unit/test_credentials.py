"""Credentials in URIs: taken out of whatever is stored or shown, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.credentials import is_malformed, shown, without_credentials
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
    "/data/a:b@c/store",
    "file:///data/img:v1@2.png",
    "artfs://p/a:v1/x@2.png",
    "wandb-artifact://ab12/x@2",
    "https://h/pkg@v1:x@y",
    "https://h/p?mail=me@example.org#me@home",
    "https://h:8/p?mail=me@example.org",
    "https://h?mail=me@example.org",
    "https://h/p?next=https://x/a@b",
    "https://h/p?next=https%3A%2F%2Fx%2Fa%40b&of=1",
    "https://h/key=5/token=6/x",
    "https://h/p;v=1/q",
    "https://h/p?sessions=3&hidden=1&side=2&tickets=4&signal=5&compass=6",
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
    ("https://h/k?v=1#/x?access_token=a", "https://h/k?v=1#/x"),
    ("s3://b/k?X-Amz-Signature=S&X-Amz-Date=D", "s3://b/k"),
    # Without a host, or with what other parsers take for one.
    ("https:///u:pw@h/p", "https:///h/p"),
    ("http://127.0.0.1:9\\@u:pw@x/p", "http://..."),
    ("s3://b\\@K:pw@x/k", "s3://..."),
    ("http://u:#pw@h/p", "http://..."),
    ("http://u:80#pw@h/p", "http://..."),
    ("http://u:80?pw@h/p", "http://..."),
    ("http://u:123456/pw@h/p", "http://..."),
    ("https://a@u:p/w@h", "https://..."),
    ("https:u:p/w@h/p", "https:h/p"),
    ("https://u%3Apw%40h/p", "https://..."),
    ("git+https://token@h/p", "git+https://h/p"),
    ("sftp://me;fingerprint=x:pw@h/p", "sftp://me@h/p"),
    ("odd://me%3Apw@h/p", "odd://me@h/p"),
    # A URI within a URI.
    ("http://h/p?next=https://u:pw@h/", "http://h/p?next=https://h/"),
    ("http://h/p?next=https://u:p?w@h/&a=1", "http://h/p?next=https://h/&a=1"),
    ("http://h/p?next=https://u:\\pw@h/", "http://h/p?next=https://h/"),
    ("http://h/2020/https:/u:pw@h/x", "http://h/2020/https:/h/x"),
    ("http://h/p?n=https%3A%2F%2Fu%3Apw%40h%2F&a=1", "http://h/p?n=https%3A%2F%2Fh%2F&a=1"),
    ("http://h/p?n=https%253A%252F%252Fu%253Apw%2540h", "http://h/p?n=https%253A%252F%252Fh"),
    ("http://h/p?n=https%3A//u:pw@h", "http://h/p?n=https%3A//h"),
    ("https://h/p?a=b?token=x", "https://h/p?a=b"),
    ("https://h/p?n=%2Fq%3Ftoken%3Dx%26v%3D1", "https://h/p?n=%2Fq%3Fv%3D1"),
    ("https%3A%2F%2Fu%3Apw%40h%2Fp", "..."),
    ("https://h/p;token=a/q;v=1?x=1", "https://h/p/q;v=1?x=1"),
    ("https://h/p;jsessionid=a?v=1", "https://h/p?v=1"),
    ("https://h/p?token=a/b#c", "https://h/p#c"),
    ("https://h/p#/x?token=a&v=1", "https://h/p#/x?v=1"),
]
SECRET_NAMES = [
    "access_token", "ACCESS_TOKEN", "accessToken", "token", "private-token", "id_token", "pwd",
    "passwd", "password", "Pass", "user_password", "auth", "Authorization", "key", "api_key",
    "apikey", "x-api-key", "Key-Pair-Id", "sig", "signature", "secret", "client_secret",
    "credential", "credentials", "jwt", "subscription-key", "sharedAccessSignature", "p%61sswd",
    "session", "sessionid", "session_id", "PHPSESSID", "sid", "hdnea", "hdnts", "ticket", "otp",
    "appkey", "app_key", "csrf", "sign", "oauth_token", "x[token]", "SAMLResponse",
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
        ("https:/u:hidden@h or http:u:hidden@h", "https:/h or http:h"),
        ("//u:hidden@h/p: not a URI", "//h/p: not a URI"),
        ("'http://u:hid'hidden@h/p' failed", "'http://h/p' failed"),
        ("with url: /p;sid=hidden?key=hidden&v=1", "with url: /p;sid=...&v=1"),
        ("/p?next=https%3A%2F%2Fu%3Ahidden%40h", "/p?next=..."),
        ("api_key='hidden', key=step", "api_key=..., key=step"),
        *(
            (text, text)
            for text in (
                "written by Me <me@example.org>, mailto:me@example.org",
                "demo/data:v0/a@b.txt: file@v1 is not demo/data:v0@x",
                "http://h:80/p: connection refused, said me@example.org",
                "p/a: /data/key=5/token=6/x@y, C:/a@b",
                "s3://b/user@host/x?token=1",
            )
        ),
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


@pytest.mark.parametrize(
    "uri", ["odd://u:hid/hidden@h", "http://u:#hidden@h/p", "s3://b\\@k:hidden@x"]
)
@pytest.mark.parametrize("checksum", [False, True])
def test_a_uri_whose_password_has_no_known_end_is_not_stored_as_something_else(
    uri: str, checksum: bool
) -> None:
    assert is_malformed(uri)
    with pytest.raises(InvalidArgument, match="percent-encoded"):
        list(References().describe(uri, name="x", checksum=checksum))


SECRET = "hiddenhidden"
_words = st.text("abc019.-_~", max_size=4)
_noise = st.text("abc01:@/\\?#;&=%'+[]", max_size=6)
_schemes = st.sampled_from(["http", "https", "HTTPS", "s3", "gs", "sftp", "postgresql", "odd"])
_slashes = st.sampled_from(["//", "///", "////", "//\\", "\\\\"])


@st.composite
def _user_infos(draw: st.DrawFn) -> str:
    """A URI with a password; what stands around it in the password may be anything but a port."""
    before = draw(st.text("abc:\\#;&=%'+[]", max_size=6))
    after = draw(st.text("abc:\\?#;&=%'+[]/", max_size=6))
    scheme, slashes = draw(_schemes), draw(_slashes)
    return f"{scheme}:{slashes}{draw(_words)}:{before}{SECRET}{after}@{draw(_words)}/{draw(_noise)}"


@st.composite
def _secret_parameters(draw: st.DrawFn) -> str:
    """A URI with a secret parameter in its path, query or fragment."""
    name = draw(st.sampled_from(SECRET_NAMES))
    before = draw(st.sampled_from([";", "?", "?a=1&", "?a=1;", "#", "#/a?", "?&", "?b=1#x=1&"]))
    after = draw(st.sampled_from(["", "&v=1", ";v=1", "#x", "%26v", "=="]))
    return f"https://h/{draw(_words)}{before}{name}={SECRET}{after}"


@st.composite
def _nested(draw: st.DrawFn, uris: st.SearchStrategy[str]) -> str:
    """One of them within a URI, encoded or not."""
    uri = draw(uris)
    for _ in range(draw(st.integers(0, 3))):
        uri = quote(uri, safe=draw(st.sampled_from(["", ":", "/", "@", ":/"])))
    return f"{draw(st.sampled_from(['https://h/p?u=', 'http://h/p?a=1&u=', 'http://h/x/']))}{uri}"


_leaking = _user_infos() | _secret_parameters()


@given(uri=_leaking | _nested(_leaking), around=st.sampled_from(["{}", "asked {} for x", "'{}'"]))
def test_no_secret_is_shown_or_stored_wherever_it_stands_in_a_uri(uri: str, around: str) -> None:
    assert SECRET not in without_credentials(uri)
    error = ArtfsError(around.format(uri), around.format(uri), hint=around.format(uri))
    assert SECRET not in f"{error!r} {error}"


@given(uri=_leaking | _nested(_leaking) | st.builds("http://{}".format, _noise) | _noise)
def test_what_is_public_stays_as_it_is(uri: str) -> None:
    public = without_credentials(uri)
    assert without_credentials(public) == public
    assert shown(shown(uri)) == shown(uri)


@pytest.mark.parametrize("start", ["", "http://", "http://h/p?token=1&", "//u:"])
@pytest.mark.parametrize(
    "piece",
    ["a", "a:/", "://@", "@", "%25", "%40", "?", "&token=x", ";", "a='", "//u:", "http://u:p#"],
)
def test_text_that_is_made_to_be_slow_is_read_in_one_go(start: str, piece: str) -> None:
    """In the square of its length, this would take minutes, and the test's limit ends it."""
    text = start + piece * (20_000 // len(piece))
    for end in ("", "@", "=%"):
        shown(text + end)
        without_credentials(text + end)
