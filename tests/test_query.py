"""The query language, without anything to seek in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.query import (
    Completion,
    Field,
    QueryError,
    Term,
    begins_a_word,
    completion,
    parse,
    quoted,
)

FIELDS = {
    field.name: field
    for field in (
        Field("driver", "the driver"),
        Field("domain", "the domain"),
        Field("state", "the state"),
        Field("group", "the group", is_number=True),
        Field("irq/s", "interrupts a second", is_number=True),
    )
}


def one(text: str) -> Term:
    (term,) = parse(text, FIELDS)
    return term


def test_a_query_is_terms_side_by_side() -> None:
    assert parse("driver:vfio-pci  group:14 irq/s>100 !domain=DMA sda", FIELDS) == (
        Term("driver", ":", ("vfio-pci",)),
        Term("group", ":", ("14",), (14.0,)),
        Term("irq/s", ">", ("100",), (100.0,)),
        Term("domain", "=", ("dma",), negated=True),
        Term(None, "", ("sda",)),
    )


@pytest.mark.parametrize("text", ["", "  ", '""'])
def test_a_query_may_be_empty(text: str) -> None:
    assert parse(text, FIELDS) == ()


@pytest.mark.parametrize(
    "text", ["0000:02:00.0", "02:00", "af:00.1", "group/18", "a>b>c"[:1], "!", "5d3de000-0001"]
)
def test_names_of_things_are_texts_whatever_is_in_them(text: str) -> None:
    assert one(text) == Term(None, "", (text,))


def test_quotes_keep_blanks_and_operators_and_commas() -> None:
    assert one('"two words"') == Term(None, "", ("two words",))
    assert one('"driver:x"') == Term(None, "", ("driver:x",))
    assert one('driver:"a,b c"') == Term("driver", ":", ("a,b c",))
    assert one(r'"a \"b\" \\"') == Term(None, "", (r'a "b" \ '.strip(),))


def test_of_several_values_one_is_enough() -> None:
    term = one("state:orphan,stuck")
    assert [term.accepts([state]) for state in ("orphan", "stuck", "bound")] == [True, True, False]
    assert one("!state:orphan,stuck").accepts(["bound"])


def test_a_colon_wants_the_beginning_of_a_word_and_an_equals_sign_the_whole() -> None:
    assert one("state:bound").accepts(["bound"])
    assert not one("state:bound").accepts(["unbound"])
    assert one("driver:PCI").accepts(["vfio-pci"])
    assert one("domain:DMA").accepts(["DMA-FQ"])
    assert not one("domain=DMA").accepts(["DMA-FQ"])
    assert one("domain=dma").accepts(["DMA"])


def test_of_several_facts_one_is_enough_and_a_negated_term_wants_none() -> None:
    assert one("driver:b").accepts(["a", "b"])
    assert not one("!driver:b").accepts(["a", "b"])
    assert one("!driver:b").accepts(["a", "c"])


def test_nothing_there_is_called_none_and_an_empty_value_takes_anything_else() -> None:
    assert one("driver:none").accepts([])
    assert not one("driver:none").accepts(["e1000e"])
    assert one("driver:").accepts(["e1000e"])
    assert not one("driver:").accepts([])
    assert one("group:none").accepts([])
    assert not one("group:none").accepts([3])


def test_a_line_without_the_field_matches_neither_the_term_nor_its_opposite() -> None:
    assert not one("driver:x").accepts(None)
    assert not one("!driver:x").accepts(None)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("irq/s>100", [101]),
        ("irq/s>=100", [100, 101]),
        ("irq/s<100", [1.5]),
        ("irq/s<=100", [1.5, 100]),
        ("irq/s:100", [100]),
        ("irq/s=0.1k", [100]),
        ("irq/s<1M", [1.5, 100, 101]),
        ("!irq/s>100", [1.5, 100]),
        ("irq/s:1.5,100", [1.5, 100]),
    ],
)
def test_numbers_are_compared(text: str, accepted: list[float]) -> None:
    assert [value for value in (1.5, 100, 101) if one(text).accepts([value])] == accepted


def test_what_could_not_be_read_is_a_question_mark_and_no_number() -> None:
    assert one("state:?").accepts(["?"])
    assert not one("group>0").accepts(["?"])


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("x drivr:a", 2, "there is no field drivr; do you mean driver?"),
        ("!zzzz:1", 1, "there is no field zzzz; put quotes around it to find the text"),
        ("a driver>1", 8, "driver is no number: use driver: or driver="),
        ("group:x", 6, "x is no number"),
        ("group:1,x", 8, "x is no number"),
        ("irq/s>", 6, "a number is missing"),
        ("group:1,", 8, "a number is missing"),
        ("group:..", 6, ".. is no number"),
        ("group:\u0661", 6, "\u0661 is no number"),
        ('a "b c', 2, "this quote is not closed"),
        ('driver:"', 7, "this quote is not closed"),
    ],
)
def test_an_error_says_where_it_is(text: str, column: int, sentence: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text, FIELDS)
    assert (caught.value.column, str(caught.value)) == (column, sentence)


@given(st.text())
def test_any_text_is_a_query_or_an_error_that_points_into_it(text: str) -> None:
    column: int | None = None
    try:
        terms = parse(text, FIELDS)
    except QueryError as error:
        terms, column = (), error.column
    assert column is None or 0 <= column <= len(text)
    for term in terms:
        for found in (["a", "14"], [14.0], []):
            assert term.accepts(found) is not term._replace(negated=not term.negated).accepts(found)


@given(st.text(), st.sampled_from([":", "="]))
def test_any_value_can_be_written_so_that_it_is_found(value: str, operator: str) -> None:
    (term,) = parse(f"driver{operator}{quoted(value)}", FIELDS)
    assert term.values == (value.casefold(),)


@given(st.text(alphabet="ab-: "), st.text(alphabet="ab", min_size=1))
def test_a_word_begins_at_the_start_or_after_a_separator(text: str, wanted: str) -> None:
    words = text.replace("-", " ").replace(":", " ").split(" ")
    assert begins_a_word(text, wanted) == any(word.startswith(wanted) for word in words)


def values(field: str) -> list[str]:
    return {"driver": ["e1000e", "vfio-pci", "a b"], "group": ["1", "14", "2"]}.get(field, [])


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("", 0, ()),
        ("d", 0, ("driver:", "domain:")),
        ("x !dr", 3, ("driver:",)),
        ("irq", 0, ("irq/s",)),
        ("driver:", 7, ("e1000e", "vfio-pci", '"a b"')),
        ("driver:v", 7, ("vfio-pci",)),
        ("driver:e1000e,v", 14, ("vfio-pci",)),
        ('driver:"a ', 7, ('"a b"',)),
        ("x group:1", 8, ("1", "14")),
        ("state:", 6, ()),
        ("zzz:", 0, ()),
    ],
)
def test_the_last_word_is_completed(text: str, start: int, words: tuple[str, ...]) -> None:
    assert completion(text, FIELDS, values) == Completion(start, words)


@given(st.text())
def test_completing_never_fails_and_begins_within_the_text(text: str) -> None:
    assert 0 <= completion(text, FIELDS, values).start <= len(text)
