"""Completions for shells, made from the command line itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from sdmtop.grammar import Argument, Command

HOSTS = ("auto", "linux:", "sim:", "capture:", "replay:")
"""Beginnings of a `--host`."""


def bash(commands: Sequence[Command]) -> str:
    """A script for bash; it needs no bash-completion."""
    names = [_bash_key(command) if " " in command.name else f"/{command.name}"
             for command in commands if command.name]  # fmt: skip
    return f"""\
# bash completion for sdmtop, made by 'sdmtop completion bash'
_sdmtop() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command= word before=
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        # bash breaks words at = and : as well, and capture: is no command
        case $before in
            --host|=|:) ;;
            *) case $command/$word in
                {"|".join(names)}) command=${{command:+$command/}}$word ;;
            esac ;;
        esac
        before=$word
    done
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


def _bash_key(command: Command) -> str:
    """How the script names a command: `simulate/list`."""
    return command.name.replace(" ", "/")


def _bash_values(commands: Iterable[Command]) -> Iterator[str]:
    """What stands behind an option."""
    for command in commands:
        for option in command.options:
            if option.kind == "none":
                continue
            found = _bash_found([option])
            cases = " | ".join(f"{_bash_key(command)},{name}" for name in option.names)
            more = " compopt -o nospace 2>/dev/null;" if option.kind == "host" else ""
            yield f"        {cases}) {found};{more} return ;;"


def _bash_found(arguments: Sequence[Argument]) -> str:
    """Words and files that one of these can be."""
    words = [word for one in arguments for word in (HOSTS if one.kind == "host" else one.words)]
    sources = ["-f"] if any(one.kind == "file" for one in arguments) else []
    sources += [f'-W "{" ".join(words)}"'] if words else []
    return f'COMPREPLY=($(compgen {" ".join(sources)} -- "$current"))' if sources else ":"


def _bash_words(commands: Sequence[Command]) -> Iterator[str]:
    """What stands by itself."""
    for command in commands:
        options = " ".join(name for option in command.options for name in option.names)
        key = _bash_key(command)
        yield f'        {key},-*) COMPREPLY=($(compgen -W "{options}" -- "$current")) ;;'
        if command.actions:
            names = " ".join(command.actions)
            found = f'COMPREPLY=($(compgen -W "{names}" -- "$current"))'
        else:
            found = _bash_found(command.positionals)
        yield f"        {key},*) {found} ;;"


def zsh(commands: Sequence[Command]) -> str:
    """A script for zsh, to be sourced or put into a directory of $fpath as `_sdmtop`."""
    top, *others = commands
    described = "\n".join(
        f"        '{one.name}:{_zsh_text(one.help)}'" for one in others if one.name in top.actions
    )
    functions = "".join(_zsh_actions(one, commands) for one in others if one.actions)
    cases = "\n".join(_zsh_case(one, one.name) for one in others if one.name in top.actions)
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
{functions}_sdmtop() {{
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


def _zsh_case(command: Command, word: str) -> str:
    if command.actions:
        return f"        {word}) _sdmtop_{command.name} ;;"
    return f"        {word}) _arguments \\\n{_zsh_arguments(command.arguments)} ;;"


def _zsh_actions(command: Command, commands: Sequence[Command]) -> str:
    """A function for a command that has actions."""
    before = f"{command.name} "
    cases = "\n".join(
        _zsh_case(one, one.name.removeprefix(before))
        for one in commands
        if one.name.startswith(before)
    )
    return f"""\
_sdmtop_{command.name}() {{
    local line state
    _arguments -C '1:action:({" ".join(command.actions)})' '*:: :->arguments'
    if [[ $state == arguments ]]; then
        case $line[1] in
{cases}
        esac
    fi
}}
"""


def _zsh_arguments(arguments: Sequence[Argument]) -> str:
    positionals = [one for one in arguments if not one.names]
    return " \\\n".join(
        f"            {spec}"
        for one in arguments
        for spec in _zsh_specs(one, positionals.index(one) + 1 if one in positionals else 0)
    )


def _zsh_specs(argument: Argument, place: int) -> Iterator[str]:
    """How _arguments takes it; `place` is of what stands by itself, from 1."""
    action = {
        "none": "",
        "file": "file:_files",
        "host": "host:_sdmtop_hosts",
        "words": f"word:({' '.join(argument.words)})",
        "text": f"{argument.metavar}: ",
    }[argument.kind]
    if not argument.names:
        yield f"'{'*' if argument.many else place}:{action}'"
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
    lines = [
        "# fish completion for sdmtop, made by 'sdmtop completion fish'",
        "complete -c sdmtop -f",
    ]
    helps = {command.name: command.help for command in commands}
    for command in commands:
        where = _fish_where(command)
        for action in command.actions:
            purpose = _fish_text(helps[f"{command.name} {action}".strip()])
            lines.append(f"complete -c sdmtop -n '{where}' -a {action} -d {purpose}")
        lines += [_fish_line(where, one) for one in command.arguments]
    return "\n".join(lines) + "\n"


def _fish_where(command: Command) -> str:
    """The condition under which what a command takes can be typed."""
    conditions = [f"__fish_seen_subcommand_from {word}" for word in command.name.split()]
    if command.actions:
        conditions.append(f"not __fish_seen_subcommand_from {' '.join(command.actions)}")
    return "; and ".join(conditions)


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
