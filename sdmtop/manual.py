"""The manual page, made from the command line and from the registry of keys."""

from collections.abc import Iterator, Sequence

from sdmtop import __version__
from sdmtop.commands import COMMANDS, FOCUS_KEYS, SCOPES, key_names
from sdmtop.grammar import Argument, Command

_STATUSES = (
    ("0", "done"),
    ("1", "the thing that was asked for failed"),
    (
        "2",
        "usage: an option, a command, or a kind of host that there is not; a configuration that "
        "is wrong",
    ),
    ("3", "refused: rights, preconditions, or not confirmed"),
    ("4", "nothing to do: no such device, no test applies, no difference"),
    ("129, 130, 131, 143", "ended by SIGHUP, SIGINT, SIGQUIT, SIGTERM"),
)
_ENVIRONMENT = (
    ("NO_COLOR", "if it is set, no colours are used"),
    (
        "TERM",
        "if it is dumb or empty, the tree is printed once instead of the console; it tells how "
        "many colours there are, and a terminal that has only ASCII",
    ),
    ("COLORTERM", "truecolor and 24bit: all colours, whatever TERM says"),
    ("COLORFGBG", "whether the background is light or dark"),
    ("LC_ALL, LC_CTYPE, LANG", "the first that is set: without UTF-8 in it, only ASCII is drawn"),
    ("SSH_TTY", "if it is set, the host is read every 2 seconds, and nothing slides"),
    ("TMUX", "if it is set, copying says what tmux needs for it"),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR", "where files lie, see below"),
)
_FILES = (
    ("$XDG_CONFIG_HOME/sdmtop/config.toml", "settings and keys; else below ~/.config"),
    (
        "$XDG_STATE_HOME/sdmtop/",
        "the journal of operations, and screens that were saved in screens/; else below "
        "~/.local/state; of root /var/lib/sdmtop/",
    ),
    (
        "$XDG_RUNTIME_DIR/sdmtop/",
        "a lock for each group and device that is worked on, else in the directory of the journal, "
        "of root /run/sdmtop/; sockets of simulators that run, else in sdmtop-UID among the "
        "temporary files",
    ),
)


def page(commands: Sequence[Command]) -> str:
    """The page in the language of man(7)."""
    return "\n".join(_lines(commands)) + "\n"


def _lines(commands: Sequence[Command]) -> Iterator[str]:
    top, *others = commands
    yield f'.TH SDMTOP 1 "" "sdmtop {__version__}" "User Commands"'
    yield ".SH NAME"
    yield r"sdmtop \- IOMMU groups, sdmdevs, PASIDs and interrupts, and who holds them"
    yield ".SH SYNOPSIS"
    yield from _synopsis(top)
    for command in others:
        if command.actions:
            continue  # It does nothing by itself.
        yield ".br"
        yield from _synopsis(command)
    yield ".SH DESCRIPTION"
    yield _text(top.help)
    yield ".SH OPTIONS"
    yield from _arguments(top)
    yield ".SH COMMANDS"
    for command in others:
        yield f".SS {_text(command.name)}"
        yield _text(f"{command.help[:1].upper()}{command.help[1:]}.")
        if command.actions:
            yield _text(f"One of {', '.join(command.actions)}:")
        yield from _arguments(command)
    yield ".SH KEYS"
    yield "In the console."
    for scope, where in SCOPES.items():
        yield f".SS {where[0].upper()}{where[1:]}"
        entries = [(key_names(one), one.help) for one in COMMANDS if one.scope == scope]
        for keys, what in (*(FOCUS_KEYS if scope == "console" else ()), *entries):
            yield from _entry(rf"\fB{_text(keys)}\fR", what)
    for title, entries in (
        ("EXIT STATUS", list(_STATUSES)),
        ("ENVIRONMENT", list(_ENVIRONMENT)),
        ("FILES", list(_FILES)),
    ):
        yield f".SH {title}"
        for name, what in entries:
            yield from _entry(rf"\fB{_text(name)}\fR", what)


def _synopsis(command: Command) -> Iterator[str]:
    words = [rf"\fBsdmtop {_text(command.name)}".rstrip() + r"\fR"]
    words += [rf"[{_names(one)}]" for one in command.options if "--help" not in one.names]
    words += [_operand(one) for one in command.positionals]
    yield " ".join(words)


def _operand(argument: Argument) -> str:
    name = f"{_names(argument)} ..." if argument.many else _names(argument)
    return name if argument.needed else f"[{name}]"


def _arguments(command: Command) -> Iterator[str]:
    for argument in command.arguments:
        if argument.help:
            yield from _entry(_names(argument), argument.help)


def _names(argument: Argument) -> str:
    names = ", ".join(rf"\fB{_text(name)}\fR" for name in argument.names)
    return f"{names} {_value(argument)}".strip()


def _value(argument: Argument) -> str:
    return rf"\fI{_text(argument.metavar)}\fR" if argument.metavar else ""


def _entry(name: str, what: str) -> Iterator[str]:
    yield ".TP"
    yield name
    yield _text(what)


def _text(text: str) -> str:
    r"""A text as man takes it: `\` and `-` are escaped, and so is a `.` or `'` at the start."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
