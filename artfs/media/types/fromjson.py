"""Column types made again from their JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidManifest
from artfs.media.annotations import Classes
from artfs.media.types.base import (
    ARTIFACT_VERSION,
    BOOLEAN,
    INVALID,
    NONE,
    NUMBER,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    AnyType,
    ConstType,
    NDArrayType,
    PythonObjectType,
    Type,
)
from artfs.media.types.containers import ListType, TypedDictType, UnionType, union
from artfs.media.types.media import (
    ClassesIdType,
    ForeignIndexType,
    ForeignKeyType,
    ImageFileType,
    MediaFileType,
    PrimaryKeyType,
    TableRef,
    TableType,
)

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

Params = dict[str, Any]

_SIMPLE: dict[str, Type] = {
    "any": AnyType(),
    "artifactVersion": ARTIFACT_VERSION,
    "boolean": BOOLEAN,
    "invalid": INVALID,
    "none": NONE,
    "number": NUMBER,
    "primaryKey": PrimaryKeyType(),
    "string": STRING,
    "timestamp": TIMESTAMP,
    "unknown": UNKNOWN,
}

_OLDER_NAMES = {
    "object": "pythonObject",
    "dictionary": "typedDict",
    "wandb.Image": "image-file",
    "wandb.Table": "table",
    "wandb.TableForeignKey": "foreignKey",
    "wandb.TableForeignIndex": "foreignIndex",
    "wandb.TablePrimaryKey": "primaryKey",
    "wandb.Classes_id": "classesId",
}


def type_from_json(value: Any, artifact: Artifact) -> Type:
    """The type that `Type.to_json` wrote into a file of `artifact`.

    Raises: InvalidManifest for what is no type.
    """
    try:
        name = _OLDER_NAMES.get(value["wb_type"], value["wb_type"])
        params = value.get("params") or {}
        if name in _SIMPLE:
            return _SIMPLE[name]
        make = _MAKERS.get(name)
        return MediaFileType(name) if make is None else make(params, artifact)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidManifest("column type", f"{value!r} is none") from error


def _const(params: Params, artifact: Artifact) -> Type:
    del artifact
    return ConstType(set(params["val"]) if params.get("is_set") else params["val"])


def _union(params: Params, artifact: Artifact) -> UnionType:
    return union(type_from_json(each, artifact) for each in params.get("allowed_types", ()))


def _list(params: Params, artifact: Artifact) -> Type:
    element = params.get("element_type")
    return ListType(
        UNKNOWN if element is None else type_from_json(element, artifact), params.get("length")
    )


def _typed_dict(params: Params, artifact: Artifact) -> Type:
    type_map = params.get("type_map", {})
    return TypedDictType({key: type_from_json(each, artifact) for key, each in type_map.items()})


def _array(params: Params, artifact: Artifact) -> Type:
    del artifact
    return NDArrayType(tuple(params["shape"]), params.get("serialization_path"))


def _python_object(params: Params, artifact: Artifact) -> Type:
    del artifact
    return PythonObjectType(params.get("class_name", ""))


def _image(params: Params, artifact: Artifact) -> Type:
    del artifact
    values = {key: each["params"]["val"] for key, each in params.items()}
    return ImageFileType(
        values.get("box_layers", {}),
        frozenset(values.get("box_score_keys", ())),
        values.get("mask_layers", {}),
        values.get("class_map", {}),
    )


def _table(params: Params, artifact: Artifact) -> Type:
    return TableType(type_from_json(params["column_types"], artifact))


def _class_id(params: Params, artifact: Artifact) -> Type:
    classes = Classes.from_reference(params["classes_obj"], artifact)
    return ClassesIdType(classes, _union(params["valid_ids"]["params"], artifact))


def _foreign_key(params: Params, artifact: Artifact) -> Type:
    return ForeignKeyType(TableRef(artifact=artifact, path=params["table"]), params["col_name"])


def _foreign_index(params: Params, artifact: Artifact) -> Type:
    return ForeignIndexType(TableRef(artifact=artifact, path=params["table"]))


_MAKERS: dict[str, Callable[[Params, Artifact], Type]] = {
    "classesId": _class_id,
    "const": _const,
    "foreignIndex": _foreign_index,
    "foreignKey": _foreign_key,
    "image-file": _image,
    "list": _list,
    "ndarray": _array,
    "pythonObject": _python_object,
    "table": _table,
    "typedDict": _typed_dict,
    "union": _union,
}
