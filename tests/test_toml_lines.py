"""On which line of a TOML text a value stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from

from sdmtop.toml_lines import Lines, Path

TEXT = '''title = "a # [no header]"  # 1
text = """
[[unit]]
name = 3
"""
numbers = [  # 6
  1, # ]
  [2, 3],
]
[[unit]]  # 10
name = "dmar0"
"a key" = 1
[[unit]]
name = 'x"y' # 14
pair = { one = 1, two = [
  2 ] }
[[device]]
dotted . name = 1  # 18
[[device.use]]
a = 1
[[device.use]]
b = 2  # 22
[device.deep]
c = 3
[[device]]
[[device.use]]  # 26
d = 4
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("text",), 2),
        (("numbers",), 6),
        (("numbers", 1, 0), 6),
        (("unit", 0), 10),
        (("unit", 0, "name"), 11),
        (("unit", 0, "a key"), 12),
        (("unit", 1, "name"), 14),
        (("unit", 1, "pair", "two"), 15),
        (("unit", 1, "not there"), 13),
        (("device", 0), 17),
        (("device", 0, "dotted", "name"), 18),
        (("device", 0, "use", 0, "a"), 20),
        (("device", 0, "use", 1, "b"), 22),
        (("device", 0, "deep", "c"), 24),
        (("device", 1, "use", 0, "d"), 27),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_values_are_found(path: Path, line: int) -> None:
    tomllib.loads(TEXT)
    assert Lines(TEXT).of(path) == line


_PIECES = sampled_from(
    ['a = """\n[[t]]\n"""', "b = '''\nx = 1\n'''", "c = [\n 1,\n]", 'd = "]"', "e = { f = 1 } # [",
     "# [[t]]", "", "g = 'x # y'"]
)  # fmt: skip


@given(lists(_PIECES, unique=True))
def test_nothing_before_a_key_moves_it(pieces: list[str]) -> None:
    text = "\n".join([*pieces, "last = 1\n"])
    tomllib.loads(text)
    assert Lines(text).of(("last",)) == text.count("\n")
