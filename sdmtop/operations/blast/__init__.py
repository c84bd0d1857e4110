"""The blast radius: what would be lost if devices left their drivers, each with its evidence.

One file for each kind of use, with a function `verdicts(survey, device)`. See docs/blast-radius.md.
"""

from collections.abc import Callable, Collection, Sequence

from sdmtop.backends.base import Host
from sdmtop.conclusions import untold_drivers
from sdmtop.model import Snapshot
from sdmtop.operations.blast import (
    classes,
    console,
    crypto,
    disks,
    network,
    opened,
    platform,
    queues,
    shares,
)
from sdmtop.operations.blast.opened import nodes_of
from sdmtop.operations.blast.reach import Touched, reach
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import WORST_FIRST, Verdict

_KINDS = (platform, disks, shares, network, console, queues, opened, crypto, classes)


def blast_radius(
    host: Host,
    snapshot: Snapshot,
    addresses: Sequence[str],
    *,
    resets: Collection[str] = (),
    own: Sequence[str] = (),
    enough: Callable[[], bool] = lambda: False,
) -> tuple[Verdict, ...]:
    """What it would cost if these devices left their drivers, the worst first.

    The snapshot is a fresh one of the host. Virtual functions, what is behind a bridge, and
    devices that the kernel would unbind as well are added, each a subject of its own. Those in
    `resets` keep their drivers, and are only reset. `own` are absolute paths that sdmtop itself
    needs. `enough` is asked often; once it answers True, what has not been looked at is `unknown`.
    Every device has at least one verdict. Raises nothing.
    """
    touched = reach(host, snapshot, tuple(addresses))
    # Paths of ours mean nothing on a host that we do not run on.
    ours = tuple(own) if host.backend == "linux" else ()
    survey = Survey(host, snapshot, touched, ours, enough, frozenset(resets))
    found = [
        Verdict("unknown", address, "there is no such device now")
        for address in addresses
        if address not in {one.address for one in touched}
    ]
    for device in touched:
        found += _of(survey, device)
    return tuple(sorted(found, key=lambda verdict: WORST_FIRST.index(verdict.kind)))


def _of(survey: Survey, device: Touched) -> list[Verdict]:
    found = [verdict for kind in _KINDS for verdict in kind.verdicts(survey, device)]
    if device.doubt is not None:
        found.append(
            device.verdict("unknown", f"cannot tell what else goes with it: {device.doubt}")
        )
    untold = untold_drivers(survey.snapshot).get(device.address)
    if untold is not None:
        sentence = f"cannot tell who uses it: {untold}"
        found.append(device.verdict("unknown", sentence, f"{device.path}/driver"))
    if not found:
        if device.driver is None:
            found.append(device.verdict("safe", "it has no driver, and nothing is behind it"))
        elif survey.parts_of(device) or survey.once(nodes_of).get(device.address):
            found.append(device.verdict("safe", "nobody has what is behind it open"))
        else:
            sentence = f"sdmtop cannot tell who uses what {device.driver} does with it"
            found.append(device.verdict("unknown", sentence, device.driver))
    return found
