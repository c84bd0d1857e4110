"""How the modelled kernel says no: the errno of the real one, and the reason in words."""


def refusal(number: int, reason: str) -> OSError:
    """The `OSError` of this errno; its `strerror` is the reason, a sentence for a person."""
    return OSError(number, reason)


class DmaError(OSError):
    """A device asked for memory that its domain does not give it; the IOMMU has logged it."""
