"""What a process of a program does, step by step, and what it says of it."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec

import artfs
from artfs import failpoints
from artfs.cli.app import run
from artfs.errors import ArtfsError
from artfs.repository.stores import open_store
from artfs.staging.area import Area, drop_area
from artfs.staging.commit import CommitAttempt
from artfs.staging.listing import staging_areas
from tests.hunt.mounted import read_mounted
from tests.hunt.programs import Worker, tree
from tests.hunt.serving import RefusedError, log_over_http
from tests.unit.staging.areafs import AreaFs, new_area

PROJECT = "p"
_SAID_BYTES = 1_500


class Place(msgspec.Struct, frozen=True):
    """Where a program runs."""

    root: Path
    store: str
    contents: Path
    """Directories with the contents, by number."""
    environment: Mapping[str, str]
    """What hosts have in common, as credentials."""

    @property
    def second(self) -> Path:
        """The store that is copied to."""
        return self.root / "second"

    def become(self, host: int) -> None:
        """Let this process be one of a host."""
        home = self.root / f"host{host}"
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ.clear()
        os.environ.update(self.environment)
        os.environ |= {
            "ARTFS_STORE": self.store,
            "ARTFS_ENTITY": "tester",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        os.chdir(home)


class Doer:
    """One process at work. It says what it has begun, and what came of it, in lines of JSON."""

    def __init__(self, place: Place, number: int, said_fd: int) -> None:
        self._place = place
        self._number = number
        self._said_fd = said_fd
        self._step: tuple[str, ...] = ()

    def say(self, event: str, **more: Any) -> None:
        """Tell what cannot be unsaid when this process is killed."""
        line = json.dumps({"worker": self._number, "event": event, "step": self._step} | more)
        os.write(self._said_fd, line.encode() + b"\n")

    def work(self, worker: Worker) -> None:
        """Do all steps."""
        failpoints.use(worker.failpoints)
        # What it starts by an exec, or as if, has them as well.
        os.environ[failpoints.VARIABLE] = worker.failpoints
        _set_clock(worker.clock_s)
        for self._step in worker.steps:
            self.say("begun")
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                code = self._do(self._step[0], *self._step[1:])
                sys.stdout.flush()
                sys.stderr.flush()
                out.seek(0)
                err.seek(0)
                said, complained = out.read().decode(), err.read().decode()[-_SAID_BYTES:]
            answer = json.loads(said) if code == 0 and self._step[0] == "put" else None
            told = None if answer is None else {key: answer[key] for key in ("id", "version")}
            self.say("ended", code=code, err=complained, told=told)

    def _do(self, name: str, *arguments: str) -> int:
        own: dict[str, Callable[..., int]] = {
            "log": self._log,
            "stage": self._stage,
            "restage": self._restage,
            "resume": self._resume,
            "lose": self._lose,
            "link": self._link,
            "read": self._read,
            "serve": self._serve,
        }
        if name not in own:
            return run(self._command(name, *arguments))
        try:
            return own[name](*arguments)
        except ArtfsError as error:
            os.write(2, f"artfs: {error}\n".encode())
            return error.exit_code
        except (OSError, HTTPException) as error:
            os.write(2, f"artfs: {error!r}\n".encode())
            return 7
        except Exception as error:  # noqa: BLE001 - a bug that has been found
            os.write(2, f"internal error: {error!r}\n".encode())
            return 1

    def _command(self, name: str, *arguments: str) -> list[str]:
        where = f"{PROJECT}/{arguments[0]}" if arguments else ""
        more = list(arguments[1:])
        if name == "put":
            labels = [part for alias in more[1:] for part in ("-a", alias)]
            content = str(self._place.contents / more[0])
            return ["put", content, "-n", where, "-t", "dataset", "--json", *labels]
        if name == "get":
            return ["get", where, "--root", str(Path.cwd() / f"got-{os.getpid()}")]
        return {
            "alias": lambda: ["alias", "add", f"{where}:{more[0]}", more[1]],
            "remove": lambda: ["rm", "-y", "--aliases", ":".join([where, *more])],
            "gc": lambda: ["gc", "--grace", "0"],
            "verify": lambda: ["verify"],
            "doctor": lambda: ["doctor"],
            "warm": lambda: ["warm", where],
            "rebuild": lambda: ["doctor", "--rebuild-catalog", "-y"],
            "copy": lambda: [
                *("copy", "--all-versions", f"{self._place.store}#{where}", str(self._place.second))
            ],
        }[name]()

    def _log(self, artifact: str, content: str, other: str) -> int:
        """By the SDK: a version, then one in a forked child and one beside it."""
        with artfs.init(project=PROJECT) as sdk_run:
            self._log_one(sdk_run, artifact, content)
            child = os.fork()
            if child == 0:
                code = 70
                try:
                    self._log_one(sdk_run, artifact, other)
                    code = 0
                except (ArtfsError, OSError):
                    code = 71
                finally:
                    os._exit(code)
            self._log_one(sdk_run, artifact, other)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status == 70:
                raise RuntimeError("the child ended otherwise than by an error of artfs")
        return 0

    def _log_one(self, sdk_run: artfs.Run, artifact: str, content: str) -> None:
        made = artfs.Artifact(artifact, type="dataset")
        made.add_dir(str(self._place.contents / content))
        logged = sdk_run.log_artifact(made).wait()
        self.say("logged", id=logged.id, version=logged.version, content=content)

    def _stage(self, name: str, content: str, then: str) -> int:
        with open_store(self._place.store) as repository:
            area = new_area(repository, name=name)
            self.say("staged", area=area.id)
            try:
                fs = AreaFs(area)
                for path, data in tree(int(content)).items():
                    fs.put(path, data)
                    self.say("closed", area=area.id, path=path)
                area.sync()
                area.checkpoint()
                if then == "commit":
                    self._commit(area)
            finally:
                area.close()
        return 0

    def _restage(self, name: str, content: str, other: str) -> int:
        """A version by an area, and upon it another one, whose files are written over."""
        with open_store(self._place.store) as repository:
            area = new_area(repository, name=name)
            try:
                fs = AreaFs(area)
                for path, data in tree(int(content)).items():
                    fs.put(path, data)
                self._commit(area)
            finally:
                area.close()
            drop_area(repository.info, area.id, ask=lambda: None)
            area = new_area(repository, base="latest", name=name)
            self.say("staged", area=area.id)
            try:
                self._write_over(area, tree(int(content)), tree(int(other)))
                self._commit(area)
            finally:
                area.close()
        return 0

    def _write_over(self, area: Area, old: dict[str, bytes], new: dict[str, bytes]) -> None:
        fs = AreaFs(area)
        for path in old.keys() - new.keys():
            fs.unlink(path)
        for path, data in new.items():
            if old.get(path):
                # All of it is copied for that.
                fs.write(path, 0, old[path][:1])
            fs.put(path, data)
            self.say("closed", area=area.id, path=path)

    def _resume(self) -> int:
        with open_store(self._place.store) as repository:
            for record in staging_areas(repository.info)[:3]:
                if record.owner is None:
                    with Area.open(repository, record.meta.id) as area:
                        # What nobody closed is half of something that nobody put.
                        if not area.contents.unfinished():
                            self._commit(area)
        return 0

    def _commit(self, area: Area) -> None:
        attempt = CommitAttempt(area)
        try:
            attempt.prepare()
            report = attempt.finish()
        finally:
            attempt.discard()
        if report.version is not None:
            self.say("committed", area=area.id, id=report.version.id)

    def _link(self, artifact: str, version: str) -> int:
        with open_store(self._place.store) as repository:
            found = repository.resolve(f"{PROJECT}/{artifact}:{version}")
            repository.catalog.link(found.id, PROJECT, "portfolio", [])
        return 0

    def _read(self) -> int:
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        wrong = read_mounted(self._place.store, PROJECT, home=Path.cwd(), name=name)
        if wrong:
            raise RuntimeError(f"R1: {wrong}")
        return 0

    def _serve(self, artifact: str, content: str) -> int:
        try:
            made = log_over_http(PROJECT, artifact, int(content))
        except RefusedError as error:
            os.write(2, f"refused: {error!r}\n".encode())
            return 9
        if made is not None:
            self.say("logged", id=made[0], version=made[1], content=content)
        return 0

    def _lose(self) -> int:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._place.store}/catalog.sqlite{suffix}").unlink(missing_ok=True)
        return run(self._command("rebuild"))


def _set_clock(ahead_s: int) -> None:
    """Let the clock of this process be ahead; all of artfs reads it by these two."""
    if ahead_s:
        now_s, now_ns = time.time, time.time_ns
        time.time = lambda: now_s() + ahead_s
        time.time_ns = lambda: now_ns() + ahead_s * 10**9


def start(place: Place, worker: Worker, number: int, said_fd: int) -> int:
    """Fork a process that does all of this; its id."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        with (place.root / f"stuck-{os.getpid()}").open("w") as stuck:
            faulthandler.register(signal.SIGUSR1, file=stuck, all_threads=True)
            place.become(worker.host)
            doer = Doer(place, number, said_fd)
            try:
                doer.work(worker)
            except BaseException:
                doer.say("ended", code=1, err=traceback.format_exc(), told=None)
                raise
        status = 0
    finally:
        os._exit(status)
