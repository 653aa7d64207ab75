"""Answering GraphQL: limits, unknown input fields, errors that say what is wrong."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.utilities import type_from_ast

from artfs.errors import ArtfsError

logger = logging.getLogger(__name__)

MAX_QUERY_CHARS = 128 * 1024
MAX_TOKENS = 8_000
MAX_DEPTH = 24
MAX_FIELDS = 1_500
"""Fields of an operation, those of fragments counted wherever they are spread."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

dropped_fields: Counter[str] = Counter()
"""How often clients sent an input field that is not known here: `TypeName.field`."""


class BadQuery(Exception):
    """A request that is refused before anything of it is done; its text says why."""


class GraphQLRequest(msgspec.Struct, frozen=True):
    """What a client sends."""

    query: str
    variables: dict[str, Any] | None = None
    operation: str | None = msgspec.field(default=None, name="operationName")


@lru_cache(1)
def schema() -> GraphQLSchema:
    """What clients may ask."""
    return build_schema(files("artfs.server").joinpath("schema.graphql").read_text("utf-8"))


@lru_cache(4096)
def snake(name: str) -> str:
    """`artifactID` as Python writes it."""
    return _CAMEL.sub("_", name).lower()


@lru_cache(256)
def _checked(query: str) -> DocumentNode:
    """A query that may be run. Raises: BadQuery."""
    if len(query) > MAX_QUERY_CHARS:
        raise BadQuery(f"a query has at most {MAX_QUERY_CHARS} characters, this one {len(query)}")
    try:
        document = parse(query, no_location=True, max_tokens=MAX_TOKENS)
        _check_size(document)
        errors = validate(schema(), document, max_errors=3)
    except GraphQLError as error:
        raise BadQuery(error.message) from None
    except RecursionError:
        raise BadQuery(f"a query is nested at most {MAX_DEPTH} deep") from None
    if errors:
        raise BadQuery("; ".join(error.message for error in errors))
    return document


def _check_size(document: DocumentNode) -> None:
    """Refuse what is deep, or grows by fragments. Raises: BadQuery."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    count = 0
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        stack: list[tuple[SelectionSetNode, int]] = [(definition.selection_set, 1)]
        while stack:
            selected, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise BadQuery(f"a query is nested at most {MAX_DEPTH} deep")
            for node in selected.selections:
                count += 1
                if count > MAX_FIELDS:
                    raise BadQuery(f"a query has at most {MAX_FIELDS} fields")
                below = getattr(node, "selection_set", None)
                if below is None and not isinstance(node, FieldNode):
                    fragment = fragments.get(getattr(node, "name").value)  # noqa: B009 - a spread
                    below = fragment.selection_set if fragment else None
                if below is not None:
                    stack.append((below, depth + 1))


def answer(request: GraphQLRequest, root: object) -> dict[str, Any]:
    """Run a request. Blocks: as its resolvers do. Raises: BadQuery."""
    try:
        document = _checked(request.query)
        operation = _operation(document, request.operation or None)
        result = execute(
            schema(),
            document,
            root_value=root,
            variable_values=_known_only(operation, request.variables or {}),
            operation_name=operation.name.value if operation.name else None,
            field_resolver=_resolve,
            type_resolver=lambda value, _info, _type: value.graphql_type,
        )
    except BadQuery as error:
        raise BadQuery(f"{_name(request)}: {error}") from None
    assert isinstance(result, ExecutionResult)
    if result.errors:
        raise BadQuery(f"{_name(request)}: {'; '.join(map(_told, result.errors[:3]))}")
    return {"data": result.data}


def _name(request: GraphQLRequest) -> str:
    found = re.search(r"\b(?:query|mutation)\s+(\w{1,80})", request.query[:MAX_QUERY_CHARS])
    named = request.operation or (found[1] if found else None)
    return f"operation {named[:80]}" if named else "an operation without a name"


def _told(error: GraphQLError) -> str:
    original = error.original_error
    if original is None or isinstance(original, ArtfsError):
        return error.message
    logger.error("a resolver failed: %s", error.message, exc_info=original)
    return "it failed for a fault of this server, whose log says more"


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    found = [
        each
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode)
        and (name is None or (each.name is not None and each.name.value == name))
    ]
    if len(found) != 1:
        raise BadQuery("the request names no operation of its query")
    return found[0]


def _known_only(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables without input fields that this schema does not have.

    Clients send each field that their newest server knows, as null.
    """
    known: dict[str, Any] = {}
    for each in operation.variable_definitions or ():
        name = each.variable.name.value
        if name in variables:
            declared = type_from_ast(schema(), each.type)
            known[name] = _stripped(declared, variables[name], 0)
    return known


def _stripped(declared: GraphQLInputType | Any, value: Any, depth: int) -> Any:
    if isinstance(declared, GraphQLNonNull):
        return _stripped(declared.of_type, value, depth)
    if isinstance(declared, GraphQLList) and isinstance(value, list):
        return [_stripped(declared.of_type, each, depth + 1) for each in value]
    if isinstance(declared, GraphQLInputObjectType) and isinstance(value, dict):
        for key in value.keys() - declared.fields.keys():
            # Of what comes from outside only so many names are kept.
            if len(dropped_fields) < 1000:
                dropped_fields[f"{declared.name}.{key[:80]}"] += 1
        return {
            key: _stripped(field.type, value[key], depth + 1)
            for key, field in declared.fields.items()
            if key in value
        }
    return value


def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """A field of a node: a key of a dict, an attribute, or a method that gets the arguments."""
    if isinstance(source, dict):
        return source.get(info.field_name)
    found = getattr(source, snake(info.field_name), None)
    if callable(found):
        return found(**{snake(key): value for key, value in arguments.items()})
    return found
