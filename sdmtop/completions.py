"""Completions for shells, made from the command line itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from sdmtop.grammar import Argument, Command

HOSTS = ("auto", "linux:", "sim:", "capture:", "replay:")
"""Beginnings of a `--host`."""


def bash(commands: Sequence[Command]) -> str:
    """A script for bash; it needs no bash-completion."""
    names = [command.name for command in commands if command.name]
    return f"""\
# bash completion for sdmtop, made by 'sdmtop completion bash'
_sdmtop() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in {"|".join(names)}) command=$word; break ;; esac
    done
    # bash breaks words at these two
    if [[ $current == [:=] ]]; then previous=$current current=; fi
    if [[ $previous == = ]]; then previous=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    case $command,$previous in
        *,:) COMPREPLY=($(compgen -f -- "$current")); return ;;
{_lines(_bash_values(commands))}    esac
    case $command,$current in
{_lines(_bash_words(commands))}    esac
}}
complete -o filenames -F _sdmtop sdmtop
"""


def _bash_values(commands: Iterable[Command]) -> Iterator[str]:
    """What stands behind an option."""
    for command in commands:
        for option in command.options:
            if option.kind == "none":
                continue
            found = _bash_value(option) or ":"
            cases = " | ".join(f"{command.name},{name}" for name in option.names)
            more = " compopt -o nospace 2>/dev/null;" if option.kind == "host" else ""
            yield f"        {cases}) {found};{more} return ;;"


def _bash_value(argument: Argument) -> str:
    if argument.kind == "file":
        return 'COMPREPLY=($(compgen -f -- "$current"))'
    words = HOSTS if argument.kind == "host" else argument.words
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current"))' if words else ""


def _bash_words(commands: Sequence[Command]) -> Iterator[str]:
    """What stands by itself."""
    for command in commands:
        options = " ".join(name for option in command.options for name in option.names)
        yield (f'        {command.name},-*) COMPREPLY=($(compgen -W "{options}" -- "$current")) ;;')
        if command.name:
            found = next(filter(None, map(_bash_value, command.positionals)), ":")
        else:
            names = " ".join(one.name for one in commands if one.name)
            found = f'COMPREPLY=($(compgen -W "{names}" -- "$current"))'
        yield f"        {command.name},*) {found} ;;"


def zsh(commands: Sequence[Command]) -> str:
    """A script for zsh, to be sourced or put into a directory of $fpath as `_sdmtop`."""
    top, *others = commands
    described = "\n".join(f"        '{one.name}:{_zsh_text(one.help)}'" for one in others)
    cases = "\n".join(
        f"        {one.name}) _arguments \\\n{_zsh_arguments(one.arguments)} ;;" for one in others
    )
    return f"""\
#compdef sdmtop
# zsh completion for sdmtop, made by 'sdmtop completion zsh'
_sdmtop_hosts() {{
    if compset -P '(capture|replay|linux):'; then _files
    else compadd -S '' -- {" ".join(HOSTS)}
    fi
}}
_sdmtop_commands() {{
    local -a commands=(
{described}
    )
    _describe command commands
}}
_sdmtop() {{
    local line state
    _arguments -C \\
{_zsh_arguments(top.arguments)} \\
        '1: :_sdmtop_commands' '*:: :->arguments'
    if [[ $state == arguments ]]; then
        case $line[1] in
{cases}
        esac
    fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _sdmtop "$@"; else compdef _sdmtop sdmtop; fi
"""


def _zsh_arguments(arguments: Sequence[Argument]) -> str:
    return " \\\n".join(f"            {spec}" for one in arguments for spec in _zsh_specs(one))


def _zsh_specs(argument: Argument) -> Iterator[str]:
    action = {
        "none": "",
        "file": "file:_files",
        "host": "host:_sdmtop_hosts",
        "words": f"word:({' '.join(argument.words)})",
        "text": f"{argument.metavar}: ",
    }[argument.kind]
    if not argument.names:
        yield f"'*:{action}'"
    others = f"({' '.join(argument.names)})" if len(argument.names) > 1 else ""
    for name in argument.names:
        yield f"'{others}{name}[{_zsh_text(argument.help)}]{action and f':{action}'}'"


def _zsh_text(text: str) -> str:
    """A text inside of a specification in single quotes."""
    for char in "\\[]:":
        text = text.replace(char, f"\\{char}")
    return text.replace("'", "'\\''")


def fish(commands: Sequence[Command]) -> str:
    """A script for fish."""
    others = commands[1:]
    lines = [
        "# fish completion for sdmtop, made by 'sdmtop completion fish'",
        "complete -c sdmtop -f",
    ]
    names = " ".join(one.name for one in others)
    before = f"not __fish_seen_subcommand_from {names}"
    lines += [
        f"complete -c sdmtop -n '{before}' -a {one.name} -d {_fish_text(one.help)}"
        for one in others
    ]
    for command in commands:
        where = f"__fish_seen_subcommand_from {command.name}" if command.name else before
        lines += [_fish_line(where, one) for one in command.arguments]
    return "\n".join(lines) + "\n"


def _fish_line(where: str, argument: Argument) -> str:
    parts = [f"complete -c sdmtop -n '{where}'"]
    parts += [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in argument.names
    ]
    words = HOSTS if argument.kind == "host" else argument.words
    if argument.kind == "file":
        parts.append("-r -F" if argument.names else "-F")
    elif argument.kind != "none" and argument.names:
        parts.append("-x")
    if words:
        parts.append(f"-a {_fish_text(' '.join(words))}")
    if argument.names:
        parts.append(f"-d {_fish_text(argument.help)}")
    return " ".join(parts)


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "fish": fish, "zsh": zsh}
