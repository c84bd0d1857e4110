"""sdmtop: an inspector and control console for shared-domain mediated devices."""

__version__ = "0.1.0"
