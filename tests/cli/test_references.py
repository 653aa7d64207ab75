"""References on the command line: put --ref, ls, warm and cache."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.cli.conftest import Cli
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.nginx import Nginx

_PATIENCE_S = 30.0
DATA = b"0123456789" * 1_000_000


def test_references_are_put_beside_files_listed_and_downloaded(
    cli: Cli, nginx: Nginx, tmp_path: Path
) -> None:
    nginx.write("cli.bin", DATA)
    (tmp_path / "local").write_bytes(b"local")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "one").write_bytes(b"1")
    done = cli.run(
        *("put", tmp_path / "local", "-n", "p/a"),
        *("-r", f"{nginx.url}/plain/cli.bin", "--ref", f"below/top=file://{tmp_path}/top"),
        *("-r", "x=odd://host/a=b"),
    )
    assert done.code == 0
    assert "p/a:v0: 4 files" in done.out
    assert "cannot be checksummed" in done.err
    listed = cli.run("ls", "-l", "p/a:latest").out
    assert f"cli.bin -> {nginx.url}/plain/cli.bin\n" in listed
    assert "x -> odd://host/a=b (unverified)" in listed
    value = cli.run("ls", "--json", "p/a:latest/below/top").json
    [entry] = value["entries"]
    assert (entry["kind"], entry["pinned"]) == ("reference", "content")
    assert entry["uri"] == f"file://{tmp_path}/top/one"


def test_references_without_a_checksum_are_not_looked_at(cli: Cli) -> None:
    uri = "http://127.0.0.1:9/nobody-listens"
    assert cli.run("put", "-r", uri, "--no-checksum", "-n", "p/a").code == 0
    [entry] = cli.run("ls", "--json", "p/a:latest").json["entries"]
    assert (entry["digest"], entry["size_bytes"], entry["pinned"]) == (uri, None, "none")


def test_what_cannot_be_referred_to_is_one_clear_line(cli: Cli, tmp_path: Path) -> None:
    for arguments, text in (
        (("-r", "odd://x"), "needs a name"),
        (("-r", f"file://{tmp_path}/missing"), "there is no file or directory"),
        (("-r", "no-scheme"), "references must be URIs"),
        (("-r", "../x=odd://x"), "not a valid path"),
        (("-r", f"{'n' * 256}={Path(__file__).as_uri()}"), f"{'n' * 256}': not a valid path"),
        ((), "no file, directory or reference is named"),
    ):
        done = cli.run("put", *arguments, "-n", "p/a")
        assert done.code == 10
        assert text in done.err.splitlines()[-1]
        assert done.out == ""
    assert cli.run("ls", "--json").json["projects"] == []


def test_more_objects_than_allowed_are_refused(cli: Cli, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "top").mkdir(exist_ok=True)
        (tmp_path / "top" / name).write_bytes(b"")
    arguments = ("put", "-r", f"file://{tmp_path}/top", "-n", "p/a", "--max-objects")
    assert cli.run(*arguments, "2").code == 10
    assert cli.run(*arguments, "3").code == 0


def test_what_is_warmed_needs_no_network(cli: Cli, nginx: Nginx) -> None:
    nginx.write("warm.bin", DATA)
    nginx.write("cold.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        cli.run(
            *("put", "-n", "p/a", "-r", f"sub/warm.bin={proxy.url}/plain/warm.bin"),
            *("-r", f"cold.bin={proxy.url}/plain/cold.bin"),
        )
        done = cli.run("warm", "p/a:v0/sub/*.bin", "--pin", "--json")
        assert done.code == 0
        value = done.json
        assert (value["files"], value["fetched_bytes"], value["cached_bytes"]) == (1, len(DATA), 0)
        before = proxy.request_count
        again = cli.run("warm", "p/a:v0/sub/*.bin", "--json").json
        assert (again["fetched_bytes"], again["cached_bytes"]) == (0, len(DATA))
        assert proxy.request_count == before
    info = cli.run("cache", "info", "--json").json
    assert info["pins"] == ["p/a:v0/sub/*.bin"]
    assert info["blocks"] == 3
    assert info["pinned_bytes"] >= len(DATA)
    assert "pinned" in cli.run("cache", "info").out
    failed = cli.run("warm", "p/a")
    assert failed.code == 7
    assert "cold.bin" in failed.err
    assert "1 file failed" in failed.out
    # Pinned content outlives a cleaning, until it is unpinned.
    assert cli.run("cache", "clean", "--json").json["blocks"] == 0
    assert cli.run("warm", "p/a:v0/sub/*.bin").code == 0
    assert "no longer pinned" in cli.run("warm", "p/a:v0/sub/*.bin", "--unpin").out
    assert cli.run("cache", "clean", "--json").json["blocks"] == 3
    assert cli.run("warm", "p/a:v0/sub/*.bin").code == 7


def test_ctrl_c_ends_a_download_from_a_server_that_stalls(cli: Cli, nginx: Nginx) -> None:
    nginx.write("stalls.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        cli.run("put", "-n", "p/a", "-r", f"{proxy.url}/plain/stalls.bin")
        proxy.set(Fault(stall_after=100_000))
        before = proxy.request_count
        process = cli.popen("get", "p/a", "--root", "out")
        deadline_s = time.monotonic() + _PATIENCE_S
        while proxy.request_count == before:
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        # One step of a request may take as long as this alone, all attempts three times as long.
        out, err = process.communicate(timeout=8)
        assert (process.returncode, out, err) == (130, "", "artfs: interrupted\n")
        assert list((cli.directory / "out").iterdir()) == []
        proxy.set()
        cli.ok("get", "p/a", "--root", "out")
    assert (cli.directory / "out/stalls.bin").read_bytes() == DATA


def test_damaged_blocks_are_found_and_dropped(cli: Cli, nginx: Nginx) -> None:
    nginx.write("check.bin", DATA)
    cli.run("put", "-n", "p/a", "-r", f"{nginx.url}/plain/check.bin")
    cli.run("warm", "p/a")
    assert "all right" in cli.run("cache", "verify").out
    victim = next(cli.directory.glob("cache/artfs/blocks/data/*/*.1"))
    victim.chmod(0o600)
    with victim.open("r+b") as file:
        file.write(b"damage")
    done = cli.run("cache", "verify", "--json")
    assert done.code == 5
    assert done.json["dropped"] == 1
    assert not victim.exists()
    assert cli.run("cache", "verify").code == 0


def test_targets_that_make_no_sense_are_refused(cli: Cli) -> None:
    cli.run("put", "-n", "p/a", "-r", "x=odd://x")
    assert cli.run("warm", "p").code == 10
    assert cli.run("warm", "p/a:latest/missing").code == 3
    assert cli.run("warm", "p/a:latest/*.nothing").code == 3
    assert cli.run("warm", "p/a", "--pin", "--unpin").code == 10


def test_a_cache_size_that_is_none_is_one_clear_line(cli: Cli) -> None:
    cli.environment["ARTFS_CACHE_SIZE"] = "plenty"
    done = cli.run("cache", "info")
    assert (done.code, done.err) == (
        11,
        "artfs: cache size 'plenty': not a size: write it as 200GiB\n",
    )
    cli.environment["ARTFS_CACHE_SIZE"] = "1.5 GiB"
    assert cli.run("cache", "info", "--json").json["limit_bytes"] == 3 * 512 * 1024**2


def test_verify_asks_sources_where_it_is_told_to(cli: Cli, nginx: Nginx, tmp_path: Path) -> None:
    names = ("same", "changed", "missing", "refused", "silent")
    for name in names:
        nginx.write(f"sources/{name}", b"before")
    local = tmp_path / "local"
    local.write_bytes(b"before")
    cli.run("put", "-n", "p/base", local)
    with fault_proxy(nginx.url) as proxy, fault_proxy(nginx.url) as other:
        uris = {name: f"{nginx.url}/plain/sources/{name}" for name in names}
        uris["refused"] = f"{other.url}/plain/sources/refused"
        uris["silent"] = f"{proxy.url}/plain/sources/silent"
        uris |= {"local": local.as_uri(), "entry": "artfs://p/base:v0/local"}
        references = [f"--ref={name}={uri}" for name, uri in uris.items()]
        assert cli.run("put", "-n", "p/a", *references).code == 0
        cli.run(
            "put", "-n", "p/b", "--no-checksum", f"--ref=free={uris['same']}", "-r", "x=odd://x"
        )
        # Without the option they are counted, and said to be so.
        done = cli.run("verify", "p/a")
        assert done.code == 0
        assert "7 references not checked: `--references` asks their sources" in done.out
        everything = cli.run("verify", "--references")
        assert everything.code == 0
        assert "9 references: 7 same, 1 unpinned, 1 unreadable\n" in everything.out

        nginx.write("sources/changed", b"behind", mtime_s=1_600_000_001)
        (nginx.root / "sources/missing").unlink()
        other.set(Fault(status=403))
        proxy.set(Fault(refuse=True))
        local.write_bytes(b"behind")
        before = len(nginx.requests("sources/same"))
        done = cli.run("verify", "p/a", "--references", "--json")
        assert done.code == 6
        assert [request.body_bytes for request in nginx.requests("sources/same")[before:]] == [1]
    sources = done.json["sources"]
    assert done.json["ok"] is False
    assert {finding["path"]: finding["state"] for finding in sources["findings"]} == {
        "changed": "changed",
        "missing": "missing",
        "refused": "refused",
        "silent": "unreachable",
        "local": "changed",
    }
    assert sources["states"]["same"] == 2
    assert all(finding["reason"] for finding in sources["findings"])
    cli.run("put", "-n", "p/c", f"--ref=same={uris['same']}", "-r", f"{local.as_uri()}")
    assert cli.run("verify", "p/c", "--references").code == 0


def test_a_server_that_does_not_answer_is_not_asked_for_everything(cli: Cli, nginx: Nginx) -> None:
    nginx.write("silent.bin", b"data")
    with fault_proxy(nginx.url) as proxy:
        references = [
            f"--ref={number}={proxy.url}/plain/silent.bin?{number}" for number in range(60)
        ]
        cli.run("put", "-n", "p/a", *references)
        proxy.set(Fault(refuse=True))
        before = proxy.request_count
        done = cli.run("verify", "p/a", "--references")
        assert done.code == 7
        assert done.out.count("UNREACHABLE") == 60
        # Sixteen at a time, each five times.
        assert proxy.request_count - before <= 5 * (16 + 3)


def test_what_another_version_held_is_looked_for_in_the_store(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    cli.run("put", "-n", "p/base", tmp_path / "a")
    cli.run("put", "-n", "p/refs", "-r", "artfs://p/base:v0/a")
    assert cli.run("rm", "-y", "p/base:v0").code == 0
    assert cli.run("gc", "--grace", "0s").code == 0
    done = cli.run("verify", "p/refs", "--references")
    assert (done.code, "1 reference: 1 same" in done.out) == (0, True)
    assert cli.run("get", "p/refs", "--root", tmp_path / "out").code == 0
    assert (tmp_path / "out/a").read_bytes() == b"a"
