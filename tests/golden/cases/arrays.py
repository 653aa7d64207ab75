"""Table cells that are numpy arrays or scalars, inline and in npz side files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import stored
from .registry import seeded, value

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = (
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
CELLS: dict[str, list[Any]] = {
    "one-dimension": [np.arange(3), np.arange(3.0)],
    "one-dimension-empty": [np.zeros(0)],
    "one-dimension-150": [np.arange(150)],
    "one-dimension-151": [np.arange(151)],
    "one-dimension-text": [np.array(["a", "bc"])],
    "one-dimension-none": [np.arange(3), None],
    "one-dimension-unlike": [np.arange(3), np.arange(4)],
    "two-dimensions": [np.zeros((2, 2)), np.ones((2, 2))],
    "two-dimensions-one-row": [np.arange(6, dtype=np.uint8).reshape(2, 3)],
    "two-dimensions-flat": [np.zeros((1, 3)), np.ones((1, 3))],
    "three-dimensions": [np.arange(24).reshape(2, 3, 4) * n for n in range(3)],
    "no-dimensions": [np.array(5), np.array(6)],
    "two-dimensions-unlike": [np.zeros((2, 2)), np.zeros((2, 3))],
    "array-then-list": [np.zeros(2), [1, 2]],
    "array-then-long-list": [np.zeros(2), [1, 2, 3]],
    "list-then-array": [[1, 2], np.zeros(2)],
    "matrix-then-list": [np.zeros((2, 2)), [[1, 2], [3, 4]]],
    "bool-array": [np.array([True, False]), np.array([False, False])],
    "nan-array": [np.array([1.0, np.nan])],
    "list-of-arrays-of-one": [[np.zeros(1), np.ones(1)]],
    "scalar-nan": [np.float64("nan"), np.float64(1)],
    "python-then-numpy": [1, np.int8(2), np.float64(0.5)],
    "dates-day": [np.datetime64("2020-01-01"), np.datetime64("1969-12-31")],
    "dates-year": [np.datetime64("2020", "Y")],
    "dates-ms": [np.datetime64("2020-01-01T00:00:00.5", "ms")],
    "dates-us": [np.datetime64("2020-01-01T00:00:00.000999", "us")],
    "dates-ns": [np.datetime64("2020-01-01T00:00:00.123456789", "ns")],
    "dates-not-a-time": [np.datetime64("NaT"), np.datetime64("2020-01-01")],
    "dict-of-arrays": [{"a": np.arange(2), "n": np.int64(4)}],
}


def _column(wandb: Any, root: Path, cells: list[Any], **options: Any) -> Any:
    """Store a table of one column `c` of arrays and one of numbers."""
    rows = [[cell, number] for number, cell in enumerate(cells)]
    return stored(wandb, wandb.Table(columns=["c", "n"], data=rows, **options), "table")


for _label, _cells in CELLS.items():
    value(f"arrays.column-{_label}")(partial(_column, cells=_cells))
    value(f"arrays.column-{_label}-any")(partial(_column, cells=_cells, allow_mixed_types=True))
    value(f"arrays.column-{_label}-required")(partial(_column, cells=_cells, optional=False))
for _name in SCALARS:
    value(f"arrays.scalar-{_name.strip('_')}")(
        partial(_column, cells=[getattr(np, _name)(0), getattr(np, _name)(1)])
    )


@value("arrays.data-argument")
def data_argument(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=["a", "b"], data=np.array([[1, 2], [3, 4]])))


@value("arrays.data-argument-float")
def data_argument_float(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Table(columns=["a"], data=np.array([[0.5], [np.nan]])))


@value("arrays.data-argument-cube")
def data_argument_cube(wandb: Any, root: Path) -> Any:
    data = np.arange(12).reshape(2, 2, 3)
    return stored(wandb, wandb.Table(columns=["a", "b"], data=data))


@value("arrays.add-column")
def add_column(wandb: Any, root: Path) -> Any:
    table = wandb.Table(columns=["n"], data=[[1], [2]])
    table.add_column("v", np.array([1.5, 2.5]))
    table.add_column("m", np.arange(8).reshape(2, 2, 2))
    return stored(wandb, table)


@value("arrays.two-matrix-columns")
def two_matrix_columns(wandb: Any, root: Path) -> Any:
    """Two columns of equal arrays: the names of the arrays make the files differ."""
    matrix = np.eye(3)
    return stored(wandb, wandb.Table(columns=["a", "b"], data=[[matrix, matrix]]))


@seeded("arrays.random", 40)
def random_arrays(wandb: Any, root: Path, seed: int) -> Any:
    """Columns of vectors and matrices of a random dtype and shape."""
    rng = np.random.RandomState(seed)
    dtype = rng.choice(["uint8", "int32", "int64", "float32", "float64", "bool"])
    shapes = [tuple(rng.randint(1, 5, size=rng.randint(1, 4))) for _ in range(rng.randint(1, 4))]
    rows = [[_array(rng, shape, dtype) for shape in shapes] for _ in range(rng.randint(1, 4))]
    names = [f"c{number}" for number in range(len(shapes))]
    return stored(wandb, wandb.Table(columns=names, data=rows))


def _array(rng: np.random.RandomState, shape: tuple[int, ...], dtype: str) -> Any:
    """Return an array of multiples of a quarter, which every dtype prints alike."""
    return (rng.randint(-40, 40, size=shape) / 4).astype(dtype)
