"""Addresses of W&B servers, and whose key goes where."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.errors import ConfigError, InvalidArgument, InvalidName
from artfs.wandbstore.address import FileAddress, parse_file, parse_store, split_target
from artfs.wandbstore.keys import find_key

KEY = "a1" * 20
OTHER = "b2" * 20


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def key_for(store: str, *, named: bool = True) -> str | None:
    return find_key(parse_store(store)[0], named=named)


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("wandb://wandb.ai/acme", "https://api.wandb.ai"),
        ("wandb://api.wandb.ai/acme", "https://api.wandb.ai"),
        ("wandb://W.example.org/acme", "https://w.example.org"),
        ("wandb://w.example.org:8443/acme/", "https://w.example.org:8443"),
        ("wandb://localhost:8231/acme", "http://localhost:8231"),
        ("wandb://127.9.9.9/acme", "http://127.9.9.9"),
        ("wandb://[::1]:8231/acme", "http://[::1]:8231"),
        ("wandb+http://w.example.org/acme", "http://w.example.org"),
        ("wandb+https://127.0.0.1:9/acme", "https://127.0.0.1:9"),
        ("wandb://127.0.0.1.example.org/acme", "https://127.0.0.1.example.org"),
    ],
)
def test_a_server_is_asked_by_https_but_on_this_machine(text: str, base_url: str) -> None:
    server, entity = parse_store(text)
    assert (server.base_url, entity) == (base_url, "acme")


@pytest.mark.parametrize(
    "text",
    [
        "wandb://",
        "wandb:///acme",
        "wandb://host",
        "wandb://host/",
        "wandb://host/a/b",
        "wandb://host/..",
        "wandb://host/a%2Fb",
        "wandb://host/a%00",
        "wandb://host/%ff",
        "wandb://host:port/acme",
        "wandb://[::1/acme",
        "wandb://api:secret@host/acme",
        "wandb://host/acme?x=1",
        "wandb://hö/acme",
    ],
)
def test_what_is_no_address_of_a_store_is_said_in_one_line(text: str) -> None:
    with pytest.raises((InvalidArgument, InvalidName)) as caught:
        parse_store(text)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_target_and_a_file_are_taken_apart_and_put_together() -> None:
    assert split_target("wandb://h/acme") == ("wandb://h/acme", None)
    assert split_target("wandb://h/acme/p/n:v1") == ("wandb://h/acme", "p/n:v1")
    assert split_target("wandb://h/acme/p/n/v1") == ("wandb://h/acme", "p/n/v1")
    text = "wandb://h/acme/p/n:v1/d/a%20b%23%3F%40%25.txt"
    found = parse_file(text)
    assert found == FileAddress(
        parse_store("wandb://h/acme")[0], "acme", "p", "n", "v1", found.path
    )
    assert found.path == "d/a b#?@%.txt"
    assert str(found) == text
    for wrong in ("wandb://h/acme/p/n/a.txt", "wandb://h/acme/p/n:v1/../x", "wandb://h/a/p/n:"):
        with pytest.raises((InvalidArgument, InvalidName)):
            parse_file(wrong)


def test_the_environments_key_is_for_the_server_that_a_person_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", f" {KEY}\n")
    assert key_for("wandb://h.example/acme") == KEY
    # A version chose this one.
    assert key_for("wandb://h.example/acme", named=False) is None
    assert key_for("wandb://wandb.ai/acme", named=False) == KEY


def test_a_key_beside_a_base_url_is_for_that_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "https://h.example/")
    assert key_for("wandb://h.example/acme", named=False) == KEY
    assert key_for("wandb://h.example:443/acme") == KEY
    assert key_for("wandb+http://h.example/acme") is None
    assert key_for("wandb://wandb.ai/acme") is None


def test_netrc_names_the_server_and_its_default_entry_names_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".netrc").write_text(
        f"machine h.example login user password {KEY}\ndefault login user password {OTHER}\n"
    )
    assert key_for("wandb://h.example:8443/acme", named=False) == KEY
    assert key_for("wandb://other.example/acme") is None
    elsewhere = home / "elsewhere"
    elsewhere.write_text(f"machine h.example login user password {OTHER}\n")
    monkeypatch.setenv("NETRC", str(elsewhere))
    assert key_for("wandb://h.example/acme") == OTHER
    elsewhere.write_text("machine\n")
    assert key_for("wandb://h.example/acme") is None


def test_the_settings_file_has_a_key_for_its_base_url(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = home / ".config/wandb/settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[default]\napi_key = {KEY}\n")
    assert key_for("wandb://wandb.ai/acme") == KEY
    assert key_for("wandb://h.example/acme") is None
    settings.write_text(f"[default]\napi_key = {KEY}\nbase_url = https://h.example\n")
    assert key_for("wandb://h.example/acme") == KEY
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home / "nowhere"))
    assert key_for("wandb://h.example/acme") is None
    monkeypatch.delenv("WANDB_CONFIG_DIR")
    settings.write_bytes(b"\xff[")
    assert key_for("wandb://h.example/acme") is None


def test_what_cannot_be_a_key_is_said_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret secret\nX-Header: 1")
    with pytest.raises(ConfigError) as caught:
        key_for("wandb://h.example/acme")
    assert "secret" not in str(caught.value)
