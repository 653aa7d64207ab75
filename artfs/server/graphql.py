"""Answering GraphQL: limits, unknown input fields, errors that say what is wrong."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from cachetools import LRUCache, cached
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
    OperationType,
    SelectionSetNode,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.utilities import type_from_ast

from artfs import forks
from artfs.errors import ArtfsError, BackendUnavailable, OutOfSpace

logger = logging.getLogger(__name__)

MAX_QUERY_CHARS = 128 * 1024
MAX_TOKENS = 8_000
MAX_DEPTH = 24
MAX_FIELDS = 1_000
"""Fields of an operation, those of fragments counted wherever they are spread."""
MAX_VALUES = 300_000
"""Fields of an answer: a page of 10,000 files has 200,000 at most."""
MAX_QUERY_S = 60.0
"""Whoever asks has gone by then. What changes something is not ended in the middle."""
_KEPT_CHARS = 512 * 1024
"""Of queries that are kept parsed, which take some 40 bytes for each."""

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


class _Parsed(msgspec.Struct, frozen=True):
    document: DocumentNode
    chars: int


class _TooMuch(BaseException):
    """An answer grew too large; no Exception, for those end but one field of it."""


class _Budget:
    """What an answer may still cost."""

    def __init__(self, *, is_query: bool) -> None:
        self._left = MAX_VALUES
        self._end = time.monotonic() + MAX_QUERY_S if is_query else None

    def spend(self) -> None:
        """One field. Raises: _TooMuch."""
        self._left -= 1
        if self._left < 0:
            raise _TooMuch(f"an answer has at most {MAX_VALUES} values: ask for smaller pages")
        if self._end is not None and time.monotonic() > self._end:
            raise _TooMuch(f"an answer takes at most {MAX_QUERY_S:.0f} s: ask for smaller pages")


_parsed_cache: LRUCache[str, _Parsed] = LRUCache(_KEPT_CHARS, getsizeof=lambda each: each.chars)


@cached(_parsed_cache, lock=forks.lock())
def _parsed(query: str) -> _Parsed:
    return _Parsed(_checked(query), len(query))


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
    """Run a request. Blocks: as its resolvers do.

    Raises: BadQuery; BackendUnavailable and OutOfSpace, where the same may be asked again later.
    """
    try:
        document = _parsed(request.query).document
        operation = _operation(document, request.operation or None)
        result = execute(
            schema(),
            document,
            root_value=root,
            variable_values=_known_only(operation, request.variables or {}),
            operation_name=operation.name.value if operation.name else None,
            field_resolver=_resolve,
            context_value=_Budget(is_query=operation.operation is OperationType.QUERY),
            type_resolver=lambda value, _info, _type: value.graphql_type,
        )
    except (BadQuery, _TooMuch) as error:
        raise BadQuery(f"{_name(request)}: {error}") from None
    assert isinstance(result, ExecutionResult)
    for failed in result.errors or ():
        if isinstance(failed.original_error, BackendUnavailable | OutOfSpace):
            raise failed.original_error
    if result.errors:
        raise BadQuery(f"{_name(request)}: {'; '.join(map(_told, result.errors[:3]))}")
    return {"data": result.data}


def _name(request: GraphQLRequest) -> str:
    found = re.search(r"\b(?:query|mutation)\s+(\w{1,80})", request.query[:MAX_QUERY_CHARS])
    named = request.operation or (found[1] if found else None)
    return f"operation {named[:80]}" if named else "an operation without a name"


def _told(error: GraphQLError) -> str:
    original = error.original_error
    # A GraphQLError is about values that are not of the type that they are sent as.
    if original is None or isinstance(original, ArtfsError | GraphQLError):
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
    info.context.spend()
    if isinstance(source, dict):
        return source.get(info.field_name)
    found = getattr(source, snake(info.field_name), None)
    if callable(found):
        return found(**{snake(key): value for key, value in arguments.items()})
    return found
