"""Seeded tables: many combinations of column kinds, options and ways to build."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .pictures import green, stored
from .registry import seeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNT = 300
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: wandb takes it for UTC
TEXTS = ("", "a", "text", "caf\u00e9", "\u65e5\u672c\u8a9e", "\U0001f600", 'q"uote', "new\nline")


def _scalars(rng: random.Random) -> dict[str, Callable[[], Any]]:
    """Return makers of plain cells."""
    return {
        "int": lambda: rng.randrange(-1000, 1000),
        "big": lambda: rng.randrange(10**25),
        "float": lambda: rng.choice((rng.uniform(-1, 1), 0.0, 1e21, 1e-7, float("inf"), 3.0)),
        "number": lambda: rng.choice((1, 2.5, -3)),
        "bool": lambda: rng.random() < 0.5,
        "str": lambda: rng.choice(TEXTS),
        "naive": lambda: EPOCH + dt.timedelta(microseconds=rng.randrange(-(10**15), 2 * 10**15)),
        "aware": lambda: (EPOCH + dt.timedelta(seconds=rng.randrange(10**9))).replace(
            tzinfo=dt.timezone(dt.timedelta(minutes=rng.randrange(-600, 600)))
        ),
        "date": lambda: dt.date(rng.randrange(1900, 2100), rng.randrange(1, 13), 5),
        "decimal": lambda: Decimal(rng.randrange(-999, 999)) / 8,
        "bytes": lambda: rng.choice(TEXTS).encode(),
        "none": lambda: None,
    }


def _nested(rng: random.Random) -> dict[str, Callable[[], Any]]:
    """Return makers of lists and dictionaries, some of which do not fit together."""
    length = rng.randrange(4)
    return {
        "list-fixed": lambda: [rng.randrange(9) for _ in range(length)],
        "list-ragged": lambda: [rng.uniform(0, 1) for _ in range(rng.randrange(4))],
        "list-str": lambda: [rng.choice(TEXTS) for _ in range(length)],
        "list-gaps": lambda: [rng.choice((None, 1)) for _ in range(3)],
        "list-lists": lambda: [[rng.randrange(9)] * rng.randrange(1, 3) for _ in range(2)],
        "tuple": lambda: (rng.randrange(9), rng.randrange(9)),
        "list-mixed": lambda: [rng.choice((1, "x", True)) for _ in range(2)],
        "dict": lambda: {"n": rng.randrange(9), "s": rng.choice(TEXTS)},
        "dict-deep": lambda: {"a": {"b": [rng.randrange(9)], "c": {"d": rng.random() < 0.5}}},
        "dict-gaps": lambda: {"n": rng.choice((None, 1))},
        "dict-keys": lambda: {rng.choice("ab"): 1},
    }


def _media(wandb: Any, root: Path, rng: random.Random) -> dict[str, Callable[[], Any]]:
    """Return makers of cells that bring files along."""
    return {
        "html": lambda: wandb.Html(f"<p>{rng.choice(TEXTS)}</p>"),
        "image": lambda: wandb.Image(
            green(root, f"green{rng.randrange(3)}.png"), caption=rng.choice((None, *TEXTS))
        ),
        "table": lambda: wandb.Table(columns=["x"], data=[[rng.randrange(9)]]),
    }


@seeded("tables_random.table", COUNT)
def table(wandb: Any, root: Path, seed: int) -> Any:
    """Build one table; some seeds end in the TypeError that wandb raises for unlike cells."""
    rng = random.Random(f"artfs-golden-table-{seed}")
    makers = _scalars(rng) | _nested(rng) | _media(wandb, root, rng)
    kinds = rng.sample(sorted(makers), rng.randrange(1, 6))
    gaps = rng.choice((0.0, 0.0, 0.2, 0.6))
    rows = [
        [None if rng.random() < gaps else makers[kind]() for kind in kinds]
        for _ in range(rng.randrange(5))
    ]
    if rng.random() < 0.1 and rows:
        rows[-1][0] = rng.choice((1, "odd", [1], True))
    names = [f"{kind} {number}" for number, kind in enumerate(kinds)]
    built = _build(wandb, rng, names, rows)
    return stored(wandb, built, rng.choice(("table", "deep/er/table", "media/tables/random")))


def _build(wandb: Any, rng: random.Random, names: list[str], rows: list[list[Any]]) -> Any:
    """Fill a table in one of the four ways there are."""
    way = rng.choice(("data", "add_data", "add_column", "any", "required"))
    if way == "data":
        return wandb.Table(columns=names, data=rows)
    if way == "any":
        return wandb.Table(columns=names, data=rows, allow_mixed_types=True)
    if way == "required":
        flags = [rng.random() < 0.7 for _ in names]
        return wandb.Table(columns=names, data=rows, optional=flags)
    if way == "add_data":
        table = wandb.Table(columns=names)
        for row in rows:
            table.add_data(*row)
        return table
    table = wandb.Table(columns=names[:1], data=[row[:1] for row in rows])
    for number, name in enumerate(names[1:], start=1):
        table.add_column(name, [row[number] for row in rows], optional=rng.random() < 0.8)
    return table
