"""What the processes of a program have said, and what follows of it."""

from __future__ import annotations

from typing import Any


class Told:
    """What was promised to somebody, by what was said so far."""

    def __init__(self) -> None:
        self.attempted: dict[str, set[str]] = {}
        """The contents that somebody may have stored, by artifact."""
        self.logged: dict[str, tuple[str, str, str]] = {}
        """Versions that somebody was told of: name, number and content, by id."""
        self.closed: dict[str, set[str]] = {}
        """The files that were closed in the staging area of an artifact."""
        self.was_lost = False
        """Whether the catalog was, and deletions with it."""
        self.ended: list[dict[str, Any]] = []
        """What came of steps."""
        self._deleted: set[tuple[str, ...]] = set()
        self._areas: dict[str, tuple[int, str, list[str]]] = {}

    def hear(self, said: dict[str, Any], host: int) -> None:
        """Take note of one line."""
        step, event = tuple(said["step"]), said["event"]
        if event == "begun":
            self._begun(step)
        elif event == "logged":
            self.logged[said["id"]] = (step[1], said["version"], said["content"])
        elif event == "staged":
            self._areas[said["area"]] = (host, step[-1] if step[0] == "restage" else step[2], [])
            self.closed[step[1]] = set()
        elif event == "closed":
            self._areas[said["area"]][2].append(said["path"])
            self.closed[step[1]].add(said["path"])
        elif event == "ended":
            self.ended.append(said)
            if said["told"]:
                told = said["told"]
                self.logged[told["id"]] = (step[1], told["version"], step[2])

    def _begun(self, step: tuple[str, ...]) -> None:
        if step[0] in {"put", "log", "serve", "stage", "restage"}:
            contents = step[2:] if step[0] in {"log", "restage"} else step[2:3]
            self.attempted.setdefault(step[1], set()).update(contents)
        elif step[0] == "remove":
            self._deleted.add(step[1:])
        elif step[0] == "lose":
            self.was_lost = True

    def may_be_deleted(self, name: str, number: str) -> bool:
        """Whether somebody has begun to delete it."""
        return bool(self._deleted & {(name,), (name, number), (name, "latest")})

    def forget(self, area_id: str) -> None:
        """A staging area was dropped."""
        self._areas.pop(area_id, None)

    def areas(self, of_host: int | None) -> dict[str, tuple[str, list[str]]]:
        """Content and closed files of staging areas: those of a host, or all."""
        return {
            area_id: (content, closed)
            for area_id, (host, content, closed) in self._areas.items()
            if of_host in {None, host}
        }
