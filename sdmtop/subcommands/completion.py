"""`sdmtop completion`: what makes a shell complete this command line."""

import argparse

from sdmtop.errors import put_out


def arguments(parser: argparse.ArgumentParser) -> None:
    """For which shell."""
    from sdmtop.completions import SHELLS

    parser.add_argument("shell", choices=tuple(SHELLS), help="which shell")
    parser.epilog = (
        "bash: source <(sdmtop completion bash). zsh: source <(sdmtop completion zsh) behind "
        "compinit. fish: sdmtop completion fish | source"
    )


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from sdmtop.completions import SHELLS
    from sdmtop.grammar import commands

    return put_out(SHELLS[options.shell](commands(options.grammar())).encode())
