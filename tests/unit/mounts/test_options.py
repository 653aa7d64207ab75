from __future__ import annotations

import pytest

from artfs.errors import InvalidArgument
from artfs.mounts.options import AliasStyle, MountOptions, parse_options


def test_nothing_said_gives_the_defaults() -> None:
    assert parse_options([]) == MountOptions()
    assert parse_options([""]) == MountOptions()


def test_everything_can_be_said_at_once_or_one_by_one() -> None:
    texts = ["aliases=symlink,freeze,alias_ttl=0.5", "allow_other", "uid=7,gid=8,umask=027"]
    expected = MountOptions(
        aliases=AliasStyle.SYMLINK,
        freeze=True,
        alias_ttl_s=0.5,
        allow_other=True,
        uid=7,
        gid=8,
        umask=0o027,
        read_timeout_s=9.0,
        file_references=True,
    )
    rest = ["timeout=9", "file_references=on"]
    assert parse_options([*texts, *rest]) == expected
    assert parse_options([",".join([*texts, *rest])]) == expected


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("", True),
        ("allow_other", False),
        ("allow_other,file_references=on", True),
        ("file_references=off", False),
    ],
)
def test_with_other_users_local_files_are_only_read_when_that_is_said(
    text: str, reads: bool
) -> None:
    assert parse_options([text]).reads_file_references is reads


def test_the_last_one_wins() -> None:
    assert parse_options(["uid=1,uid=2", "uid=3"]).uid == 3


def test_what_every_mount_is_may_be_said() -> None:
    assert parse_options(["ro,noatime,nosuid,nodev"]) == MountOptions()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", "no such option: known are aliases"),
        ("aliases=link", "'directory' or 'symlink'"),
        ("alias_ttl=soon", "seconds"),
        ("alias_ttl=-1", "seconds"),
        ("alias_ttl=nan", "seconds"),
        ("alias_ttl=inf", "seconds"),
        ("timeout=0", "more than 0"),
        ("uid=root", "numeric user id"),
        ("gid=-1", "numeric group id"),
        ("umask=8", "octal"),
        ("umask=7777", "octal"),
        ("file_references=maybe", "'on' or 'off'"),
        ("freeze=yes", "takes no value"),
        ("uid", "numeric user id"),
        ("rw", "read-only"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_options([text])
    assert str(caught.value).startswith(f"-o {text}: ")
    assert said in str(caught.value)
