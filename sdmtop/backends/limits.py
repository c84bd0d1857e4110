"""What no host lets a reader do. On the path of the first paint: light imports only."""

import errno

PAGE = 4096
"""Bytes of a sysfs attribute at most."""

READ_LIMIT = 64 * 1024
"""Bytes read from a file unless the caller says otherwise: a sysfs attribute is one page."""

SIDE_EFFECTS = frozenset(
    {
        # kernel-abi rule 9: reading consumes, resets or blocks.
        "alg_qos",
        "kmsg",
        "regs",
        "trace_pipe",
        "wait",
        # kernel-abi rule 4: reading takes the device lock, behind which a stuck unbind waits.
        "sriov_numvfs",
        "sriov_vf_total_msix",
        # The answer depends on a selection that all readers of the file share (AMD, HiSilicon).
        "capability",
        "current_qm",
        "devid",
        "mmio",
    }
)
"""File names that no reader may open."""

WAKES = frozenset(
    {"config", "current_link_speed", "current_link_width", "max_link_speed", "max_link_width",
     "secondary_bus_number", "subordinate_bus_number"}
)  # fmt: skip
"""Files of a PCI device that look into its configuration space: reading them resumes it."""

ASLEEP = frozenset({"D1", "D2", "D3hot", "D3cold"})
"""The `power_state` of a device that is left asleep."""


def refuse_side_effects(path: str) -> None:
    """Raise EPERM for a file whose reading would change the host or could block."""
    if path[path.rfind("/") + 1 :] in SIDE_EFFECTS:
        raise OSError(errno.EPERM, "not read: reading it has side effects", path)
