"""Numbers in few cells."""

from sdmtop.graphs import count_text, heat, rate_text, sparkline


def test_numbers_fit_into_their_columns() -> None:
    assert [rate_text(rate) for rate in (None, 0.0, 3.14, 250.0, 123456.0, 9.9e9)] == [
        "", "0", "3.1", "250", "123k", "9900M"
    ]  # fmt: skip
    assert [count_text(count) for count in (0, 99_999_999, 4_294_967_295)] == [
        "0", "99999999", "4294967k"
    ]  # fmt: skip
    assert [count_text(count, 5) for count in (0, 99_999, 100_000, 4_294_967_295)] == [
        "0", "99999", "100k", "4294M"
    ]  # fmt: skip


def test_a_sparkline_is_scaled_to_its_highest_value() -> None:
    assert sparkline([0.0, 5.0, 10.0], 5) == "  ▁▄█"
    assert sparkline([0.0, 0.0], 4) == "  ▁▁"
    assert sparkline([], 4) == "    "


def test_a_shade_is_the_same_for_the_same_rate_and_darker_for_ten_times_more() -> None:
    rates = (0.0, 0.5, 5.0, 50.0, 500.0, 5_000.0, 50_000.0, 5e9)
    assert "".join(map(heat, rates)) == "·▁▂▃▅▇██"
