import errno
from collections.abc import Mapping
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Entry, Failure, TreeHost
from sdmtop.model import Interrupt
from sdmtop.readers.interrupts import InterruptTable, Row, read_interrupts
from sdmtop.readers.unknowns import Unknowns

X86 = b"""\
            CPU0       CPU1
  0:        111          0  IR-IO-APIC   2-edge      timer
  9:          1          0  IR-IO-APIC   9-fasteoi   acpi
 25:          0          7  IR-PCI-MSIX-0000:00:01.0   0-edge      PCIe PME, aerdrv, pciehp
 49:          0          0  IR-PCI-MSI-0000:00:1f.2   0-edge      ahci[0000:00:1f.2]
 58:          0          3 IR-PCI-MSIX-0000:02:00.1   0-edge      vfio-msix[0](0000:02:00.1)
NMI:          1          2   Non-maskable interrupts
LOC:       2519       3110   Local timer interrupts
ERR:          5
MIS:          0
"""
ARM = b"""\
           CPU0       CPU1       CPU2       CPU3
 11:       4208       1093        991        870     GICv3  30 Level     arch_timer
 24:          0          0          0          0     GICv3  78 Edge      vgic
 52:          9          0          0          0   ITS-MSI 524288 Edge      nvme0q0, nvme0q1
IPI0:       100        200        300        400       Rescheduling interrupts
IPI7:         0          0          0          0       CPU wake-up interrupts
Err:          0
"""


def table_of(text: bytes, **devices: str) -> dict[str, Interrupt]:
    """The rows by label; `i40="address"` is what the devices' vectors say of irq 40."""
    of_irq = {int(irq[1:]): device for irq, device in devices.items()}
    host = TreeHost({"/proc/interrupts": text})
    return {row.irq: row for row in read_interrupts(host, Unknowns(), of_irq)}


def unknown_of(text: bytes) -> list[tuple[str, str]]:
    unknowns = Unknowns()
    read_interrupts(TreeHost({"/proc/interrupts": text}), unknowns, {})
    return [(one.errno, one.what) for one in unknowns.entries()]


# -- the form of a row (kernel-abi 8.1) ------------------------------------------------------


def test_a_row_has_counts_chip_number_trigger_and_actions() -> None:
    row = table_of(X86)["25"]
    assert (row.per_cpu, row.total) == ((0, 7), 7)
    assert (row.chip, row.hwirq, row.trigger) == ("IR-PCI-MSIX-0000:00:01.0", "0", "edge")
    assert row.actions == ("PCIe PME", "aerdrv", "pciehp")


@pytest.mark.parametrize("blanks", [1, 2, 9])
def test_the_blanks_before_the_chip_do_not_matter(blanks: int) -> None:
    chip = b" " * blanks + b"IO-APIC   4-edge      ttyS0"
    row = table_of(b"CPU0\n  4:          6" + chip)["4"]
    assert (row.per_cpu, row.chip, row.actions) == ((6,), "IO-APIC", ("ttyS0",))


def test_a_summary_row_has_counts_and_its_words_but_no_chip() -> None:
    row = table_of(X86)["NMI"]
    assert (row.per_cpu, row.total, row.chip, row.device) == ((1, 2), 3, None, None)
    assert row.actions == ("Non-maskable interrupts",)


def test_err_and_mis_have_one_count_however_many_cpus() -> None:
    rows = table_of(X86)
    assert (rows["ERR"].per_cpu, rows["ERR"].total) == ((5,), 5)
    assert (rows["MIS"].per_cpu, rows["MIS"].actions) == ((0,), ())
    assert table_of(ARM)["Err"].per_cpu == (0,)


def test_rows_of_arm64_are_told_with_their_trigger() -> None:
    rows = table_of(ARM)
    assert rows["11"].per_cpu == (4208, 1093, 991, 870)
    assert (rows["11"].chip, rows["11"].hwirq, rows["11"].trigger) == ("GICv3", "30", "Level")
    assert rows["11"].actions == ("arch_timer",)
    assert (rows["52"].hwirq, rows["52"].actions) == ("524288", ("nvme0q0", "nvme0q1"))
    assert (rows["IPI0"].per_cpu, rows["IPI0"].total) == ((100, 200, 300, 400), 1000)
    assert rows["IPI7"].actions == ("CPU wake-up interrupts",)


def test_a_row_without_a_trigger_keeps_its_action() -> None:
    row = table_of(b"CPU0\n 24:          0     GICv3  78 vgic\n")["24"]
    assert (row.trigger, row.actions) == (None, ("vgic",))


def test_a_chip_may_have_blanks_in_its_name() -> None:
    row = table_of(b"CPU0\n 24:    5  Hyper-V PCIe MSI 4138200989697-edge      mana_q0@pci:7870\n")[
        "24"
    ]
    assert (row.chip, row.hwirq, row.trigger) == ("Hyper-V PCIe MSI", "4138200989697", "edge")
    assert row.actions == ("mana_q0@pci:7870",)


def test_a_row_may_have_no_number_of_the_hardware() -> None:
    row = table_of(b"CPU0\n 24:    5  PCI-MSI  mlx5_async0@pci:0000:00:00.0, x\n")["24"]
    assert (row.chip, row.hwirq, row.trigger) == ("PCI-MSI", None, None)
    assert row.actions == ("mlx5_async0@pci:0000:00:00.0", "x")


def test_a_row_without_a_handler_has_no_actions() -> None:
    assert table_of(b"CPU0\n 24:          5  IO-APIC   2-edge\n")["24"].actions == ()


def test_cpus_that_are_offline_have_no_column() -> None:
    table = InterruptTable()
    (row,) = table.parse(b"     CPU0       CPU2       CPU7\n 1:  5  0  6  IO-APIC 1-edge x\n")
    assert table.cpus == (0, 2, 7)
    assert row.per_cpu == (5, 0, 6)


def test_numbers_come_first_and_in_order() -> None:
    assert [*table_of(X86)] == ["0", "9", "25", "49", "58", "ERR", "LOC", "MIS", "NMI"]


def test_a_table_that_is_cut_short_keeps_what_is_whole() -> None:
    cut = X86[: X86.index(b"PCIe PME") + 4]
    rows = table_of(cut)
    assert [*rows] == ["0", "9", "25"]
    assert (rows["25"].per_cpu, rows["25"].actions) == ((0, 7), ("PCIe",))


def test_lines_without_a_label_are_left_out_and_unknown() -> None:
    text = b"CPU0\nnothing\n\n 1:  5 x 1-edge y\n"
    assert [*table_of(text)] == ["1"]
    assert unknown_of(text) == [("EINVAL", "rows of interrupts: one without a label")]


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"\n 1:  5  IO-APIC 1-edge y\n", b"CPU0 CPU1\n", b"PU0\n 1:  5 x 1-edge y\n"],
)
def test_a_table_without_columns_or_rows_is_unknown(text: bytes) -> None:
    assert table_of(text) == {}
    assert unknown_of(text) == [("EINVAL", "all interrupts")]


_GARBLED = [
    b" 26:          1  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n",
    b" 26:  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n",
    b" 26:  a b c foo\n",
    b" 26:          1          x  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n",
    b" 26:          1         -2  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n",
    b" 26:          1          2          3  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n",
    b" 26:          1          2          3\n",
    b" 26:\n",
]


@pytest.mark.parametrize("row", _GARBLED)
def test_a_row_with_more_or_fewer_counts_than_cpus_is_lost_and_unknown(row: bytes) -> None:
    assert table_of(X86 + row, i26="0000:00:01.0") == table_of(X86)
    assert unknown_of(X86 + row) == [("EINVAL", "rows of interrupts: 26")]


def test_a_summary_row_with_some_of_its_counts_is_lost_and_unknown() -> None:
    row = b"IPI1:       100        200        300       Function call interrupts\n"
    assert "IPI1" not in table_of(ARM + row)
    assert unknown_of(ARM + row) == [("EINVAL", "rows of interrupts: IPI1")]


def test_of_many_rows_that_are_lost_eight_are_named() -> None:
    rows = b"".join(b" %d: x\n" % number for number in range(100, 120))
    named = ", ".join(map(str, range(100, 108)))
    told = f"rows of interrupts: {named} (and 12 more)"
    assert unknown_of(X86 + rows) == [("EINVAL", told)]


@pytest.mark.parametrize("text", [X86, ARM, ARM + b"FIQ:              text alone\n"])
def test_rows_of_real_kernels_are_whole(text: bytes) -> None:
    assert unknown_of(text) == []
    assert len(table_of(text)) == len(text.splitlines()) - 1


def test_a_row_that_was_lost_is_lost_until_it_is_whole_again() -> None:
    table = InterruptTable()
    good = b" 26:          1          0  IR-PCI-MSIX-0000:00:01.0   0-edge      x\n"
    bad = good.replace(b"          0  ", b"  ")
    for rows, lost in ((good, []), (bad, ["26"]), (bad, ["26"]), (good, []), (b"", [])):
        assert ("26" in {row.label for row in table.parse(X86 + rows)}) == (rows == good)
        assert table.lost == lost


def test_a_table_that_has_no_end_is_unknown_behind_it() -> None:
    assert unknown_of(X86[:-40]) == [("EFBIG", "interrupts: the table has no end")]


@pytest.mark.parametrize(
    "text",
    [
        b"CPU0 CPU" + b"9" * 5000 + b"\n 1: 1 2 x\n",
        b"CPU0\n 1: " + b"9" * 5000 + b" x 1-edge y\n",
        b"CPU0\n" + b"9" * 70 + b": 1 x 1-edge y\n",
        b"CPU0\n 1: 1 PCI-MSI " + b"9" * 5000 + b"-edge y\n",
        b"",
        b":",
        b"\xff\x00:\n:::\n",
    ],
)
def test_a_hostile_table_is_survived(text: bytes) -> None:
    assert all(row.total < 1 << 40 for row in table_of(text).values())


# -- many CPUs, again and again --------------------------------------------------------------


def printed(cpus: list[int], rows: Mapping[str, tuple[list[int], str]]) -> bytes:
    """The table as show_interrupts() of the kernel prints it."""
    lines = ["".ljust(11) + "".join(f"CPU{cpu:<8d}" for cpu in cpus)]
    lines += [
        f"{label:>3}:" + "".join(f" {count:>10d}" for count in counts) + f"  {tail}"
        for label, (counts, tail) in rows.items()
    ]
    return "\n".join(lines).encode() + b"\n"


def test_a_thousand_columns_are_told_apart() -> None:
    counts = [0] * 1000
    counts[0], counts[499], counts[999] = 1, 4294967295, 7
    tail = "IR-PCI-MSIX-0000:00:01.0   0-edge      nvme0q0"
    row = table_of(printed([*range(1000)], {"40": (counts, tail)}))["40"]
    assert row.per_cpu == tuple(counts)
    assert row.actions == ("nvme0q0",)


_counts = st.one_of(st.just(0), st.just(0), st.just(0), st.integers(0, 2**32 - 1))
_tails = st.sampled_from(["IO-APIC   2-edge      timer", "x", "", "PCI-MSI 5-edge  a b, c"])


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[int], dict[str, tuple[list[int], str]]]:
    cpus = sorted(draw(st.sets(st.integers(0, 9999), min_size=1, max_size=40)))
    labels = draw(st.lists(st.integers(0, 999).map(str), unique=True, max_size=6))
    row = st.lists(_counts, min_size=len(cpus), max_size=len(cpus))
    return cpus, {label: (draw(row), draw(_tails)) for label in labels}


@settings(max_examples=150)
@given(_tables())
def test_a_table_that_the_kernel_prints_is_read_back(
    described: tuple[list[int], dict[str, tuple[list[int], str]]],
) -> None:
    cpus, rows = described
    table = InterruptTable()
    found = table.parse(printed(cpus, rows))
    assert table.cpus == tuple(cpus)
    assert [(row.label, row.per_cpu) for row in found] == [
        (label, tuple(counts)) for label, (counts, _) in rows.items()
    ]


@settings(max_examples=100)
@given(_tables())
def test_columns_and_free_spacing_give_the_same_rows(
    described: tuple[list[int], dict[str, tuple[list[int], str]]],
) -> None:
    cpus, rows = described
    columns = printed(cpus, rows)
    header, _, body = columns.partition(b"\n")
    narrow = header + b"\n" + b"\n".join(b" ".join(line.split()) for line in body.split(b"\n"))
    in_columns, in_words = InterruptTable().parse(columns), InterruptTable().parse(narrow)
    assert [(row.label, row.per_cpu, row.actions) for row in in_columns] == [
        (row.label, row.per_cpu, row.actions) for row in in_words
    ]


@settings(max_examples=100)
@given(st.lists(_tables(), min_size=2, max_size=4))
def test_a_table_that_is_kept_reads_what_a_fresh_one_does(
    described: list[tuple[list[int], dict[str, tuple[list[int], str]]]],
) -> None:
    kept = InterruptTable()
    for cpus, rows in described:
        text = printed(cpus, rows)
        fresh = InterruptTable().parse(text)
        assert [(row.label, row.per_cpu) for row in kept.parse(text)] == [
            (row.label, row.per_cpu) for row in fresh
        ]


_MANY = [*range(70)]


@st.composite
def _changes(draw: st.DrawFn) -> list[bytes]:
    """Tables of one host: rows come, go and move, and some of their many counts change."""
    rows: dict[str, list[int]] = {}
    texts = []
    for _ in range(4):
        for label in draw(st.lists(st.integers(1, 12).map(str), max_size=4)):
            rows[label] = list(rows.get(label, [0] * len(_MANY)))
            for cpu in draw(st.lists(st.sampled_from(_MANY), max_size=3)):
                rows[label][cpu] = draw(_counts)
        for label in draw(st.lists(st.sampled_from([*rows] or ["1"]), max_size=2)):
            rows.pop(label, None)
        order = draw(st.permutations([*rows]))
        text = printed(_MANY, {label: (rows[label], "IO-APIC 2-edge x") for label in order})
        # Some rows out of their columns, some without an end.
        text = text.replace(b"  4:  ", draw(st.sampled_from([b"  4:  ", b"  4: "])))
        texts.append(text + draw(st.sampled_from([b"", b"ERR:          0", b"ERR:          01\n"])))
    return texts


@settings(max_examples=200)
@given(_changes())
def test_what_is_taken_from_the_text_before_is_what_the_new_one_says(texts: list[bytes]) -> None:
    kept = InterruptTable()
    for text in texts:
        now, fresh = kept.parse(text), InterruptTable().parse(text)
        assert [(row.label, row.per_cpu, row.total, row.actions) for row in now] == [
            (row.label, row.per_cpu, row.total, row.actions) for row in fresh
        ]
        assert all(row.total == sum(row.per_cpu) for row in now)


@st.composite
def _garbled(draw: st.DrawFn) -> list[bytes]:
    """Tables of one host, each with some of its bytes overwritten."""
    texts = []
    for text in draw(_changes()):
        garbled = bytearray(text)
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(text)))
            bad = draw(
                st.sampled_from([b"\n", b" ", b"-", b"7", b"\t", b":", b"  5\n", b"\xff", b"_"])
            )
            garbled[at : at + len(bad)] = bad
        texts.append(bytes(garbled))
    return texts


def told_by(row: Row) -> tuple[object, ...]:
    frame = row.frame
    words = (frame.chip, frame.hwirq, frame.trigger, frame.actions)
    return (frame.label, *words, frame.whole, row.per_cpu, row.total)


@settings(max_examples=300)
@given(_garbled())
def test_a_garbled_text_is_read_the_same_whatever_was_before_it(texts: list[bytes]) -> None:
    kept = InterruptTable()
    for text in chain.from_iterable(zip(texts, texts, strict=True)):
        fresh = InterruptTable()
        now, then = kept.parse(text), fresh.parse(text)
        assert [told_by(row) for row in now] == [told_by(row) for row in then]
        assert (kept.lost, kept.cut, kept.cpus) == (fresh.lost, fresh.cut, fresh.cpus)


def test_a_row_may_come_into_its_columns() -> None:
    table = InterruptTable()
    full = printed([0, 1], {"ERR": ([3, 4], "x")})
    (short,) = table.parse(full[: full.index(b"\n")] + b"\nERR:          5\n")
    (long,) = table.parse(full)
    assert (short.per_cpu, long.per_cpu, long.total) == ((5,), (3, 4), 7)


def test_a_cpu_that_goes_offline_takes_its_column_with_it() -> None:
    table = InterruptTable()
    tail = "IO-APIC 1-edge x"
    (both,) = table.parse(printed([0, 1], {"1": ([3, 4], tail)}))
    (one,) = table.parse(printed([1], {"1": ([5], tail)}))
    (again,) = table.parse(printed([0, 1], {"1": ([3, 6], tail)}))
    assert (both.per_cpu, one.per_cpu, again.per_cpu) == ((3, 4), (5,), (3, 6))
    assert table.cpus == (0, 1)


def test_a_text_that_has_not_changed_gives_the_very_rows_it_gave() -> None:
    table = InterruptTable()
    assert table.parse(X86) is table.parse(X86)


def test_a_row_that_has_not_changed_is_not_parsed_again() -> None:
    table = InterruptTable()
    first = table.parse(X86)
    changed = X86.replace(b"111          0", b"112          0")
    second = table.parse(changed)
    assert second[0] is not first[0]
    assert all(old is new for old, new in zip(first[1:], second[1:], strict=True))


def test_a_number_that_comes_back_as_another_device_is_another_row() -> None:
    table = InterruptTable()
    table.parse(printed([0], {"40": ([5], "PCI-MSI-0000:01:00.0 0-edge a")}))
    assert table.parse(printed([0], {})) == []
    (row,) = table.parse(printed([0], {"40": ([0], "PCI-MSI-0000:02:00.0 0-edge b")}))
    assert (row.per_cpu, row.actions) == ((0,), ("b",))


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_text_is_parsed_without_an_error(text: bytes) -> None:
    table = InterruptTable()
    rows = [row.label for row in table.parse(b"CPU0 CPU1\n" + text)]
    lost = table.lost
    assert len(rows) + len(lost) == sum(1 for line in text.split(b"\n") if line.strip())
    assert rows == [row.label for row in table.parse(b"CPU0 CPU1\n" + text)]
    assert lost == table.lost


# -- whose interrupt it is -------------------------------------------------------------------


def test_the_device_is_the_one_that_lists_the_vector() -> None:
    assert table_of(X86, i25="0000:99:00.0")["25"].device == "0000:99:00.0"


def test_else_the_chip_names_the_device() -> None:
    rows = table_of(X86)
    assert rows["25"].device == "0000:00:01.0"
    assert (rows["0"].device, rows["LOC"].device) == (None, None)


@pytest.mark.parametrize(
    ("hwirq", "address"),
    [
        (1048576, "0000:02:00.0"),
        (512000, "0000:00:1f.2"),
        (34078722, "0000:41:00.0"),
        ((0x10000 << 27) + (0xE1 << 19) + 1, "10000:e1:00.0"),
    ],
)
def test_else_on_kernel_6_1_the_hardware_number_does(hwirq: int, address: str) -> None:
    row = table_of(f"CPU0\n 40:          1  IR-PCI-MSI {hwirq}-edge      x\n".encode())["40"]
    assert row.device == address


def test_of_a_line_that_several_share_no_device_is_told() -> None:
    shared = b"CPU0\n 16:          1  IO-APIC  16-fasteoi   ehci_hcd, vfio-intx(0000:06:02.0)\n"
    host = TreeHost({"/proc/interrupts": shared})
    (row,) = read_interrupts(host, Unknowns(), {16: None})
    assert row.device is None


def test_else_the_action_of_vfio_names_it() -> None:
    text = b"CPU0\n 16:          1  IO-APIC  16-fasteoi   vfio-intx(0000:06:02.0)\n"
    assert table_of(text)["16"].device == "0000:06:02.0"


def test_the_affinity_is_told_and_one_that_fails_is_unknown() -> None:
    unknowns = Unknowns()
    entries: dict[str, Entry] = {
        "/proc/interrupts": X86,
        "/proc/irq/0/smp_affinity_list": b"0-1\n",
        "/proc/irq/9/smp_affinity_list": Failure(errno.EIO),
    }
    rows = {row.irq: row for row in read_interrupts(TreeHost(entries), unknowns, {})}
    assert (rows["0"].affinity, rows["9"].affinity, rows["25"].affinity) == ("0-1", None, None)
    assert [(one.path, one.errno) for one in unknowns.entries()] == [
        ("/proc/irq/9/smp_affinity_list", "EIO")
    ]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_a_table_that_cannot_be_read_is_unknown(number: int) -> None:
    unknowns = Unknowns()
    assert read_interrupts(TreeHost({"/proc/interrupts": Failure(number)}), unknowns, {}) == ()
    assert [one.path for one in unknowns.entries()] == ["/proc/interrupts"]


def test_a_row_that_was_cut_off_is_read_anew() -> None:
    table = InterruptTable()
    head = b"           CPU0       \n"
    (row,) = table.parse(head + b"  1:         10  IR-PCI-MSI 0-edge eth")
    assert row.actions == ("eth",)
    (row,) = table.parse(head + b"  1:         10  IR-PCI-MSI 0-edge eth0-rx\n")
    assert row.actions == ("eth0-rx",)


def test_rows_that_come_and_go_keep_what_the_others_say() -> None:
    table = InterruptTable()
    head = b"           CPU0       \n"
    one, two, three = (
        b"  %d:         1%d  IR-PCI-MSI 0-edge eth%d\n" % (n, n, n) for n in (1, 2, 3)
    )
    before = table.parse(head + one + three)
    after = table.parse(head + one + two + three)
    assert [row.total for row in after] == [11, 12, 13]
    assert (after[0], after[2]) == tuple(before)
    assert table.parse(head + three) == [before[1]]
