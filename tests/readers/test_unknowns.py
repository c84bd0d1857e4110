import errno

import pytest

from sdmtop.readers.unknowns import PATHS_OF_A_KIND, Unknowns, UnknownsOfMany


def failed(number: int | None) -> OSError:
    return OSError(number, "") if number is not None else OSError("no number")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (errno.EACCES, "EACCES"),
        (errno.EIO, "EIO"),
        (errno.EINVAL, "EINVAL"),
        (524, "524"),  # ENOTSUPP, which the kernel lets out though it has no name outside
        (None, "EIO"),
    ],
)
def test_an_entry_names_the_errno(number: int | None, name: str) -> None:
    unknowns = Unknowns()
    unknowns.note("/sys/x", failed(number), "a fact")
    (entry,) = unknowns.entries()
    assert (entry.path, entry.errno, entry.what) == ("/sys/x", name, "a fact")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_what_is_plainly_absent_is_no_failure(number: int) -> None:
    unknowns = Unknowns()
    unknowns.note_failure("/sys/x", failed(number), "a fact")
    unknowns.note_failure("/sys/y", b"there", "a fact")
    assert unknowns.entries() == ()


def test_what_is_absent_is_noted_when_the_reader_says_so() -> None:
    unknowns = Unknowns()
    unknowns.note("/sys/x", failed(errno.ENOENT), "a fact")
    assert [entry.errno for entry in unknowns.entries()] == ["ENOENT"]


def test_eight_failures_of_a_kind_are_named_one_by_one() -> None:
    unknowns = Unknowns()
    for place in range(PATHS_OF_A_KIND):
        unknowns.note(f"/sys/{place}", failed(errno.EIO), "a fact")
    assert [entry.path for entry in unknowns.entries()] == [f"/sys/{n}" for n in range(8)]


def test_beyond_eight_the_rest_is_counted_in_one_entry_more() -> None:
    unknowns = Unknowns()
    for place in range(20):
        unknowns.note(f"/sys/{place:02}", failed(errno.EIO), "a fact")
    *named, rest = unknowns.entries()
    assert [entry.path for entry in named] == [f"/sys/{n:02}" for n in range(8)]
    assert (rest.path, rest.errno, rest.what) == ("/sys/19", "EIO", "a fact (and 11 more)")


def test_the_ninth_is_named_and_nothing_is_counted() -> None:
    unknowns = Unknowns()
    for place in range(9):
        unknowns.note(f"/sys/{place}", failed(errno.EIO), "a fact")
    assert [(entry.path, entry.what) for entry in unknowns.entries()] == [
        (f"/sys/{n}", "a fact") for n in range(9)
    ]


def test_failures_of_another_errno_or_another_fact_are_counted_apart() -> None:
    unknowns = Unknowns()
    for place in range(8):
        unknowns.note(f"/sys/{place}", failed(errno.EIO), "a fact")
        unknowns.note(f"/sys/{place}", failed(errno.EACCES), "a fact")
        unknowns.note(f"/sys/{place}", failed(errno.EIO), "another")
    assert len(unknowns.entries()) == 24


def test_the_same_failure_twice_is_one_entry() -> None:
    unknowns = Unknowns()
    for _ in range(9):
        unknowns.note("/sys/x", failed(errno.EIO), "a fact")
    assert len(unknowns.entries()) == 1


def test_entries_are_sorted_by_path() -> None:
    unknowns = Unknowns()
    for path in ("/c", "/a", "/b"):
        unknowns.note(path, failed(errno.EIO), f"of {path}")
    assert [entry.path for entry in unknowns.entries()] == ["/a", "/b", "/c"]


def test_a_path_that_is_not_utf_8_is_told_in_escapes() -> None:
    unknowns = Unknowns()
    unknowns.note("/sys/\udcff", failed(errno.EIO), "a fact")
    assert [entry.path for entry in unknowns.entries()] == ["/sys/\\xff"]


def noted(*paths: str, what: str = "a fact") -> Unknowns:
    unknowns = Unknowns()
    for path in paths:
        unknowns.note(path, failed(errno.EIO), what)
    return unknowns


def test_what_was_taken_is_no_longer_there() -> None:
    unknowns = noted("/sys/a/x")
    assert unknowns.take() == (("EIO", "a fact", "/sys/a/x"),)
    assert unknowns.take() == ()
    assert unknowns.entries() == ()


def test_of_each_owner_only_the_last_reading_counts() -> None:
    many = UnknownsOfMany()
    many.replace("a", "/sys/a", noted("/sys/a/x", "/sys/a/y").take())
    many.replace("b", "/sys/b", noted("/sys/b/x", "/sys/z").take())
    assert [entry.path for entry in many.entries()] == [
        "/sys/a/x",
        "/sys/a/y",
        "/sys/b/x",
        "/sys/z",
    ]
    many.replace("a", "/sys/a", noted("/sys/a/y").take())
    assert [entry.path for entry in many.entries()] == ["/sys/a/y", "/sys/b/x", "/sys/z"]
    many.replace("b", "/sys/b", ())
    many.drop("nobody")
    assert [entry.path for entry in many.entries()] == ["/sys/a/y"]


def test_the_same_failure_of_many_owners_is_counted_together() -> None:
    many = UnknownsOfMany()
    for number in range(20):
        path = f"/sys/{number:02}"
        many.replace(path, path, noted(f"{path}/config").take())
    *named, rest = many.entries()
    assert len(named) == PATHS_OF_A_KIND
    assert (rest.path, rest.what) == ("/sys/19/config", "a fact (and 11 more)")


def test_nothing_is_made_anew_when_nothing_has_changed() -> None:
    many = UnknownsOfMany()
    many.replace("a", "/sys/a", noted("/sys/a/x").take())
    before = many.entries()
    many.replace("a", "/sys/a", noted("/sys/a/x").take())
    assert many.entries() is before
