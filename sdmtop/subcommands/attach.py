"""`sdmtop attach`: give devices to VFIO or another driver; open and hold queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, to which driver, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="+",
        help="a PCI address, a network interface, group/18, an mdev's UUID or the beginning of it, "
        "a uacce or wq name",
    )
    parser.add_argument("--driver", help="instead of the bus's VFIO driver (vfio-pci)")
    parser.add_argument(
        "--only",
        action="store_true",
        help="just unbind other devices of the group that stand in the way, do not attach them",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; queues are held until ctrl+c."""
    from sdmtop.operations.attach import plan_attach
    from sdmtop.operations.targets import meant

    return carry_out(
        options,
        lambda host, snapshot, _: plan_attach(
            host,
            snapshot,
            [meant(host, snapshot, name) for name in options.target],
            driver=options.driver,
            only=options.only,
        ),
    )
