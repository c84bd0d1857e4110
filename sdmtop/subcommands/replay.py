"""`sdmtop replay`: the console on a recording."""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and where to begin."""
    from sdmtop.when import FORMS

    parser.add_argument("file", metavar="FILE", help="made by 'sdmtop record'")
    parser.add_argument("--at", metavar="TIME", help=f"begin there, paused: {FORMS}")


def run(options: argparse.Namespace) -> int:
    """Play it, or talk about it; without a terminal, print the tree at that time, or at the end."""
    from sdmtop.console import console, conversation, on_a_terminal, settings_given
    from sdmtop.subcommands.snapshot import print_snapshot

    at = f"?at={options.at}" if options.at else ""
    options.host = f"replay:{options.file}{at}"
    if options.plain:
        return conversation(options.host, settings_given(options))
    if on_a_terminal():
        return console(options.host, settings_given(options))
    return print_snapshot(options.host, "tree")
