"""The guided tour: six steps through the console, on the host of `sim:default`."""

from typing import NamedTuple

HOST = "sim:default"

HERE = (HOST, "sim:")
"""What names that host: who looks at it already need not go there."""


class Step(NamedTuple):
    """What is told, and which line of the tree is selected meanwhile."""

    title: str
    text: str
    target: str


STEPS = (
    Step(
        "Groups, devices, queues",
        "The tree has what an IOMMU cannot tell apart: groups, in them devices, below these the "
        "queues that they serve. Group 9 translates its DMA; its owner is the kernel, since a "
        "driver is bound. Arrows move, enter folds, s sorts. This host is simulated: [SIM].",
        "group/9",
    ),
    Step(
        "Who shares a domain?",
        "This queue is an sdmdev: the process that takes it runs in the domain of its parent, "
        "group 9. The column on the right says so, and the group says by how many it is shared. "
        "It is an orphan: created, and held by nobody. The inspector (key 2) says what that means.",
        "7a6c6962-0000-4000-8000-00000000dead",
    ),
    Step(
        "Why can I not have this?",
        "Group 7 is four devices behind one bridge: one fate for all. VFIO cannot take it, and the "
        "inspector says because of whom. ? is what could not be read, with its reason; key o says "
        "from which file each value came, and when.",
        "group/7",
    ),
    Step(
        "Which interrupt wakes whom?",
        "Key 4 goes to the interrupts; those of the selected device come first, with their rate, "
        "its history and the CPU that takes most. Key s sorts them by rate. Key 3 goes to the "
        "PASIDs: whose they are, or why no kernel file tells.",
        "0000:01:00.0",
    ),
    Step(
        "What has changed?",
        "Key 5 goes to the events. Something happens on this host now and then. p freezes the "
        "screen while reading goes on; [ and ] step through the last minutes, { and } from event "
        "to event. sdmtop record keeps them in a file, sdmtop replay plays it.",
        "group/9",
    ),
    Step(
        "Find and ask",
        "/ finds: try state:orphan, or irq/s>100; tab completes. ? has all keys, ctrl+p finds a "
        "command by its name, and the footer shows what works on the selected line. w ends the "
        "tour. sdmtop --host sim:broken has everything that goes wrong.",
        "group/19",
    ),
)
