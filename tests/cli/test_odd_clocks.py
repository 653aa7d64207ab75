"""Commands on a host whose clock is far from right."""

from __future__ import annotations

from tests.cli.conftest import Cli


def test_a_clock_before_the_epoch_keeps_nobody_from_storing(cli: Cli) -> None:
    (cli.directory / "file").write_bytes(b"1")
    cli.prefix = ["faketime", "1960-01-01 10:00:00"]
    assert cli.run("put", "file", "-n", "demo/data").code == 0
    cli.prefix = []
    cli.ok("verify")
    assert cli.ok("ls", "demo/data:v0").out == "file\n"
