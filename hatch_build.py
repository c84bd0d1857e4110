"""What a wheel brings besides the package: the manual page, and completions for three shells.

They are made from the program while the wheel is built, so they are those of its version.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARES = {
    "man": "share/man/man1/sdmtop.1",
    "bash": "share/bash-completion/completions/sdmtop",
    "zsh": "share/zsh/site-functions/_sdmtop",
    "fish": "share/fish/vendor_completions.d/sdmtop.fish",
}
"""What it is -> where a system looks for it, below its prefix."""


class Shares(BuildHookInterface[Any]):
    """Makes the files of `SHARES`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface.initialize`. A checkout that is installed gets none."""
        if version != "standard":
            return
        sys.path.insert(0, self.root)
        from sdmtop.cli import parser
        from sdmtop.completions import SHELLS
        from sdmtop.grammar import commands
        from sdmtop.manual import page

        grammar = commands(parser())
        self._made = TemporaryDirectory()
        for name, make in {"man": page, **SHELLS}.items():
            path = Path(self._made.name, name)
            path.write_text(make(grammar), encoding="utf-8")
            build_data["shared_data"][str(path)] = SHARES[name]

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """See `BuildHookInterface.finalize`."""
        del build_data, artifact_path
        if version == "standard":
            self._made.cleanup()
