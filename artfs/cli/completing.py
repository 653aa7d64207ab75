"""Tab completion: what may stand at the cursor, and the functions that ask for it in shells.

A shell runs `_ARTFS_COMPLETE=1 artfs WORD... CURRENT` and gets a line for each value, with a tab
and an explanation behind it where there is one; `@file` and `@dir` leave it to the shell.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from artfs.repository.facade import Repository

COMPLETE_VARIABLE = "_ARTFS_COMPLETE"
_MOST = 200
_PATIENCE_S = 5
_SHELLS = {
    "bash": r"""# Completion of artfs for bash: source it, or put it where bash-completion looks.
_artfs() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n' current reply word
    local -a words
    # A colon ends a word of bash's; targets have colons.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]} - 1]}
    COMPREPLY=()
    IFS=$'\n'
    for reply in $(_ARTFS_COMPLETE=1 "$1" "${words[@]:1}" 2>/dev/null); do
        word=${reply%%$'\t'*}
        case $word in
            @file) compopt -o default 2>/dev/null; return ;;
            @dir) compopt -o dirnames 2>/dev/null; return ;;
            */ | *:) compopt -o nospace 2>/dev/null ;;
        esac
        if [[ $COMP_WORDBREAKS == *:* ]]; then
            word=${word#"${current%"${current##*:}"}"}
        fi
        COMPREPLY+=("$word")
    done
}
complete -o nosort -F _artfs artfs
""",
    "zsh": r"""#compdef artfs
# Completion of artfs for zsh: put it into a directory of $fpath as _artfs, or source it.
_artfs() {
    local -a replies unfinished finished
    local reply word
    local -a before=("${(@Q)words[2,CURRENT-1]}")
    replies=("${(@f)$(_ARTFS_COMPLETE=1 ${words[1]} "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for reply in $replies; do
        word=${reply%%$'\t'*}
        case $word in
            @file) _files; return ;;
            @dir) _files -/; return ;;
            */ | *:) unfinished+=("$word") ;;
            ?*) finished+=("$word") ;;
        esac
    done
    (( $#unfinished )) && compadd -S '' -a unfinished
    (( $#finished )) && compadd -a finished
    (( $#unfinished + $#finished ))
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _artfs "$@"
elif (( $+functions[compdef] )); then
    compdef _artfs artfs
fi
""",
    "fish": r"""# Completion of artfs for fish: put it into ~/.config/fish/completions/artfs.fish.
function __artfs_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for reply in (env _ARTFS_COMPLETE=1 $words[1] $words[2..-1] "$current" 2>/dev/null)
        switch $reply
            case '@file'
                __fish_complete_path $current
            case '@dir'
                __fish_complete_directories $current
            case '*'
                echo $reply
        end
    end
end
complete --no-files --command artfs --arguments '(__artfs_complete)'
""",
}
SHELLS = tuple(_SHELLS)


def script(shell: str) -> str:
    """What a shell reads to complete `artfs`."""
    return _SHELLS[shell]


def print_completions(group: click.Group, arguments: Sequence[str]) -> None:
    """Print what may stand in the place of the last argument; nothing where that is not known.

    Blocks: on the catalog.
    """
    from click.shell_completion import ShellComplete  # noqa: PLC0415 - only for completion

    from artfs.settings import TIMEOUT_VARIABLE  # noqa: PLC0415 - as above

    *before, current = arguments or [""]
    # Somebody waits with a finger on the key: a store that is far away must not hold the shell.
    os.environ[TIMEOUT_VARIABLE] = str(_PATIENCE_S)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.alarm(_PATIENCE_S)
    # Whatever is wrong with what was typed so far, or with a store: there is nothing to say.
    with suppress(Exception):
        found = ShellComplete(group, {}, "artfs", COMPLETE_VARIABLE).get_completions(
            before, current
        )
        lines = []
        for item in found:
            if item.type != "plain":
                lines = [f"@{item.type}"]
                break
            help_text = f"\t{item.help.splitlines()[0]}" if item.help else ""
            lines.append(f"{item.value}{help_text}")
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()


Complete = Callable[[click.Context, click.Parameter, str], Any]


def _completing(find: Callable[[Repository, str], Iterator[str]]) -> Complete:
    def complete(
        context: click.Context,
        parameter: click.Parameter,  # noqa: ARG001 - click's signature
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for completion

        if incomplete.startswith((".", "/", "~")):
            return [CompletionItem(incomplete, type="file")]
        with _opened(context) as repository:
            values = [
                CompletionItem(each)
                for each in find(repository, incomplete)
                if each.startswith(incomplete)
            ]
        return values[:_MOST]

    return complete


def _opened(context: click.Context) -> Repository:
    """The store that the command line names so far. Raises: ArtfsError."""
    from artfs.repository.stores import open_store  # noqa: PLC0415 - only for completion
    from artfs.settings import store_location  # noqa: PLC0415 - as above

    return open_store(store_location(context.params.get("store")), create=False)


def _projects(repository: Repository, _: str) -> Iterator[str]:
    for each in repository.catalog.projects(on_damage=lambda _: None):
        yield f"{each.name}/"


def _artifacts(repository: Repository, incomplete: str) -> Iterator[str]:
    project, slash, _ = incomplete.partition("/")
    if not slash:
        yield from _projects(repository, incomplete)
        return
    for each in repository.catalog.artifacts(project=project, on_damage=lambda _: None):
        yield each.path


def _versions(repository: Repository, incomplete: str) -> Iterator[str]:
    """Names with aliases and numbers, written with a colon or with a slash as the user does."""
    names, colon, _ = incomplete.partition(":")
    parts = names.split("/")
    if not colon and len(parts) < 3:
        for name in _artifacts(repository, incomplete):
            yield name
            if not name.endswith("/"):
                # Two of them, so that no shell puts a space where a version may follow.
                yield f"{name}:"
        return
    path, sign = (names, ":") if colon else ("/".join(parts[:2]), "/")
    artifact = repository.artifact(path, on_damage=lambda _: None)
    versions = repository.catalog.versions(artifact.id, limit=_MOST, on_damage=lambda _: None)
    for alias in sorted({alias for each in versions for alias in each.aliases}):
        yield f"{path}{sign}{alias}"
    for each in versions:
        yield f"{path}{sign}{each.version}"


def _paths(repository: Repository, incomplete: str) -> Iterator[str]:
    """Paths in a version, a directory at a time."""
    from artfs.manifest.entries import DirectoryEntry  # noqa: PLC0415 - only for completion

    names, colon, rest = incomplete.partition(":")
    above = incomplete.rpartition("/")[0]
    if (colon and "/" not in rest) or (not colon and names.count("/") < 3):
        yield from _versions(repository, incomplete)
        return
    version, directory = repository.locate(above)
    entry = repository.find(version.tree, directory) if directory else version.root
    if isinstance(entry, DirectoryEntry):
        for each in repository.directory(entry.sha256).entries():
            yield f"{above}/{each.name}{'/' if isinstance(each, DirectoryEntry) else ''}"


complete_artifact = _completing(_artifacts)
complete_version = _completing(_versions)
complete_path = _completing(_paths)


def complete_target_or_place(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """`[TARGET] MOUNTPOINT`: the first word may be both."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for completion

    found: list[CompletionItem[str]] = []
    if not context.params.get(parameter.name or ""):
        with suppress(Exception):
            found = complete_version(context, parameter, incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def complete_alias(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[CompletionItem[str]]:
    """The aliases of the artifact that is named before."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for completion

    with _opened(context) as repository:
        artifact = repository.artifact(context.params["target"], on_damage=lambda _: None)
        versions = repository.catalog.versions(artifact.id, limit=_MOST, on_damage=lambda _: None)
        names = {alias for each in versions for alias in each.aliases} - {"latest"}
    return [CompletionItem(each) for each in sorted(names) if each.startswith(incomplete)]
