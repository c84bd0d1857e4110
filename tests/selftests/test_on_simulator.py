"""Every test of a device passes on the simulator, and fails there for its own reason.

A test that could not fail would be missing in `FAILS`: that is looked for at the end.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest
from msgspec.structs import replace

from sdmtop import vfio
from sdmtop.backends.base import open_host
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import Measurement, Result
from sdmtop.selftests.registry import BENCHMARKS, TESTS, chosen, jobs
from sdmtop.selftests.runner import Run
from tests.selftests.liar import LyingHost, accept, forgive

if TYPE_CHECKING:
    from collections.abc import Callable

EDU, NIC = "0000:01:00.0", "0000:05:00.0"
ZIP, SEC = "0000:75:00.0", "0000:76:00.0"
DSA = "0000:6a:01.0"

PLACES = {
    "vfio": ("default", NIC),
    "iommufd": ("idxd", "0000:6a:01.0"),
    "edu": ("edu", EDU),
    "sdmdev": ("no-pasid", ZIP),
    "crypto": ("default", SEC),
    "dmatest": ("idxd", "dma0chan0"),
    "uacce": ("uacce", "hisi_zip-0"),
    "idxd": ("idxd", "wq0.0"),
}
"""Family -> scenario, and what is tested there."""


def place(family: str) -> tuple[LyingHost, str]:
    scenario, target = PLACES[family]
    host = LyingHost(scenario)
    if family in ("edu", "iommufd"):
        host.give_to_vfio(target)
    return host, target


def run(name: str, host: LyingHost, target: str) -> Result:
    snapshot = read_snapshot(host)
    lender = Lender(host, confirmed=True)
    (result,) = Run(host, snapshot, jobs(chosen([name]), host, snapshot, target), lender=lender)
    assert isinstance(result, Result)
    return result


HERE = [test.name for test in TESTS if not test.name.startswith("host.")]
"""All of the registry but the checks of the box, which `test_host.py` has in the same way."""


@pytest.mark.parametrize("name", HERE)
def test_it_passes(name: str) -> None:
    host, target = place(name.partition(".")[0])
    result = run(name, host, target)
    assert result.result == "pass", result
    assert any(one.expected is not None for one in result.evidence), "it has compared nothing"


@pytest.mark.parametrize("name", HERE)
def test_nothing_stays_open_or_mapped(name: str) -> None:
    host, target = place(name.partition(".")[0])
    own = host.kernel.processes.own
    before = len(own.files), len([*own.memory]), read_snapshot(host).devices
    run(name, host, target)
    assert (len(own.files), len([*own.memory]), read_snapshot(host).devices) == before


@pytest.mark.long
@pytest.mark.parametrize("name", HERE)
def test_no_call_that_fails_is_overlooked(name: str) -> None:
    family = name.partition(".")[0]
    host, target = place(family)
    run(name, host, target)
    for number in range(host.calls):
        failing, _ = place(family)
        failing.fails_at = number
        assert run(name, failing, target).result != "pass", f"call {number} of {host.calls}"


@pytest.mark.parametrize("benchmark", [one.name for one in BENCHMARKS])
def test_a_benchmark_measures_and_judges_nothing(benchmark: str) -> None:
    found = measured(benchmark, *place(benchmark.partition(".")[0]))
    assert found.reason is None
    assert found.runs > 0


@pytest.mark.parametrize("benchmark", ["sdmdev.latency", "sdmdev.jobs"])
def test_a_queue_without_rings_is_measured_as_well(benchmark: str) -> None:
    found = measured(benchmark, LyingHost("edu"), EDU)
    assert (found.reason, found.median is not None) == (None, True)


def test_a_job_that_is_not_done_is_not_measured() -> None:
    host, target = place("sdmdev")
    stalled(ZIP, *range(16))(host)
    found = measured("sdmdev.jobs", host, target)
    assert found.median is None
    assert found.reason == "deflate: 16 of 16 not done in 2 s"


def measured(benchmark: str, host: LyingHost, target: str) -> Measurement:
    snapshot = read_snapshot(host)
    made = jobs(chosen([benchmark], bench=True), host, snapshot, target)
    (found,) = Run(host, snapshot, made, lender=Lender(host, confirmed=True))
    assert isinstance(found, Measurement)
    return found


# -- what must not be believed ---------------------------------------------------------------


def lie(request: vfio.Request, answer: Callable[..., int]) -> Callable[[LyingHost], None]:
    def arrange(host: LyingHost) -> None:
        host.lies[request.number] = answer

    return arrange


def wrong(address: str, times: int = 1) -> Callable[[LyingHost], None]:
    """The next results of a device have a bit flipped."""

    def arrange(host: LyingHost) -> None:
        _pci(host, address).accelerator().wrong = times

    return arrange


def lost(address: str) -> Callable[[LyingHost], None]:
    """The next interrupt of a device is not raised."""

    def arrange(host: LyingHost) -> None:
        _pci(host, address).accelerator().lost = 1

    return arrange


def stalled(address: str, *queues: int) -> Callable[[LyingHost], None]:
    """Queues of a device do no work."""

    def arrange(host: LyingHost) -> None:
        for number in queues:
            _pci(host, address).accelerator().queue(number).is_stalled = True

    return arrange


def _pci(host: LyingHost, address: str) -> PciDevice:
    device = host.kernel.pci.devices[address]
    assert isinstance(device, PciDevice)
    return device


def register(offset: int, value: int) -> Callable[[LyingHost], None]:
    """A register of 32 bits always reads as this."""

    def arrange(host: LyingHost) -> None:
        def read(at: int, data: bytes) -> bytes:
            return struct.pack("<I", value) if at & 0xFFFFF == offset and len(data) == 4 else data

        host.reads = read

    return arrange


def not_viable(call: Callable[[], int], argument: int | bytearray) -> int:
    answer = call()
    assert isinstance(argument, bytearray)
    struct.pack_into("=I", argument, 4, 0)
    return answer


def no_resource(host: LyingHost) -> None:
    path = next(one.path for one in read_snapshot(host).devices if one.address == NIC)
    host.texts[f"{path}/resource"] = b"0x0 0x1ff 0x0\n" * 7


def still_pinned(host: LyingHost) -> None:
    """Pages stay locked, whatever is unmapped."""
    first = host.read("/proc/self/status").replace(b"VmLck:", b"VmOld:")
    answers = iter((0, 64, 64, 64))

    class Pinned:
        def get(self, path: str) -> bytes | None:
            if path == "/proc/self/status":
                return first + b"VmLck:\t%8d kB\n" % next(answers)
            return None

    host.texts = Pinned()  # type: ignore[assignment]


def silent_log(host: LyingHost) -> None:
    """No fault reaches the kernel log."""
    host.kernel_log = list  # type: ignore[method-assign]


def flat_count(host: LyingHost) -> None:
    """The kernel counts no interrupt."""
    row = b"           CPU0\n 40:  7  IR-PCI-MSI 0-edge  vfio-msi[0](0000:01:00.0)\n"
    host.texts["/proc/interrupts"] = row


def failed_at_registration(host: LyingHost) -> None:
    host.kernel.log.say("alg: self-tests for xts(aes) using hisi_sec_xts(aes) failed (rc=-22)", 3)


def broken(_call: Callable[[], int], _argument: int | bytearray) -> int:
    raise OSError(errno.EIO, "it does not come back")


def obliging(host: LyingHost) -> None:
    """A device that completes whatever it is asked for."""
    vars(_pci(host, DSA).accelerator())["run"] = lambda *_: (1, 0, 0, 0)


def other_registers(host: LyingHost) -> None:
    host.texts["/sys/class/iommu/dmar0/intel-iommu/ecap"] = b"f00f4e\n"


def without_pasids(call: Callable[[], int], argument: int | bytearray) -> int:
    """Attaching a PASID has a longer argument than attaching the device."""
    if isinstance(argument, bytearray) and len(argument) > 12:
        raise OSError(errno.EIO, "no")
    return call()


def no_interrupts(host: LyingHost) -> None:
    """The kernel counts nothing of the parent."""
    host.texts["/proc/interrupts"] = b"           CPU0\n"


def disturbed(host: LyingHost) -> None:
    """What one queue is told stands in all others, too."""
    hardware = _pci(host, ZIP).accelerator()

    def wait(call: Callable[[], int], _argument: int | bytearray) -> int:
        answer = call()
        for number in hardware.started:
            hardware.queue(number).memory[-1] = 0xA5
        return answer

    host.lies[vfio.SDMDEV_WAIT.number] = wait


def left_behind(host: LyingHost) -> None:
    """Nothing is unmapped from the parent's domain when a queue is let go."""
    group = _pci(host, ZIP).group
    assert group is not None
    vars(group.domain)["unmap_all"] = lambda _owner: None


class Failing(NamedTuple):
    test: str
    arrange: Callable[[LyingHost], None]
    words: str


FAILS = (
    Failing("vfio.group", lie(vfio.GET_STATUS, not_viable), "viable: expected yes, got no"),
    Failing("vfio.group", lie(vfio.SET_IOMMU, accept), "an IOMMU for an empty container"),
    Failing("vfio.group", lie(vfio.SET_CONTAINER, forgive), "a second container"),
    Failing("vfio.device", no_resource, "size of BAR 0"),
    Failing("vfio.device", register(0, 0xFFFFFFFF), "vendor and device"),
    Failing("vfio.interrupt", lie(vfio.SET_IRQS, accept), "vector 0 of MSI-X, fired once"),
    Failing("vfio.interrupt", lie(vfio.SET_IRQS, forgive), "firing what is switched off"),
    Failing("vfio.dma", lie(vfio.MAP_DMA, forgive), "the same IOVA again"),
    Failing("vfio.dma", lie(vfio.UNMAP_DMA, accept), "bytes unmapped again"),
    Failing("vfio.locked", still_pinned, "bytes locked after unmap"),
    Failing("vfio.reset", lie(vfio.RESET, broken), "resetting: it does not come back (EIO)"),
    Failing("iommufd.bind", lie(vfio.BIND_IOMMUFD, forgive), "binding it again"),
    Failing("iommufd.dma", lie(vfio.IOAS_MAP, forgive), "the same IOVA again"),
    Failing("iommufd.interrupt", lie(vfio.SET_IRQS, accept), "vector 0 of MSI-X, fired once"),
    Failing("iommufd.hardware", other_registers, "ecap of dmar0"),
    Failing("iommufd.pasid", lie(vfio.ATTACH_PT, without_pasids), "attaching PASID 5: no (EIO)"),
    Failing("edu.identity", register(0, 0xFFFFFFFF), "identity at 0x0"),
    Failing("edu.liveness", register(4, 0xFFFFFFFF), "complement of 0xffffffff"),
    Failing("edu.factorial", wrong(EDU), "0!"),
    Failing("edu.dma", wrong(EDU), "pattern 1"),
    Failing("edu.dma-outside", silent_log, "no fault at 0x9000000 in the kernel log"),
    Failing("edu.interrupt", lost(EDU), "message 1: expected 1, got 0"),
    Failing("edu.interrupt", flat_count, "counted by the kernel: expected 20, got 0"),
    Failing("edu.dma-interrupt", lost(EDU), "interrupts: expected 1, got 0"),
    Failing("crypto.kernel-selftest", failed_at_registration, "hisi_sec_xts(aes) failed"),
    Failing("crypto.digest", wrong(SEC), "hisi_sec_sha256"),
    Failing("crypto.cipher", wrong(SEC), "hisi_sec_ecb(aes)"),
    Failing("uacce.queue", lie(vfio.START_QUEUE, accept), "START_Q again"),
    Failing("uacce.job", wrong(ZIP), "deflate"),
    Failing("uacce.job", stalled(ZIP, *range(40)), "deflate: no completion"),
    Failing("sdmdev.lifecycle", lie(vfio.GET_STATUS, not_viable), "viable: expected yes, got no"),
    Failing("sdmdev.job", wrong(ZIP), "deflate"),
    Failing("sdmdev.job", lost(ZIP), "flate: no completion in 2 s"),
    Failing("sdmdev.interrupt", no_interrupts, "at least one interrupt for each wait"),
    Failing("sdmdev.neighbour", disturbed, "pages of the other queue"),
    Failing("sdmdev.detach", left_behind, "mapping, the second time"),
    Failing("dmatest.copy", wrong(DSA), "copy0: failures: expected 0, got 1"),
    Failing("dmatest.copy", stalled(DSA, 2), "copy0: failures: expected 0, got 100"),
    Failing("idxd.noop", stalled(DSA, 0), "no completion in 2 s"),
    Failing("idxd.memmove", wrong(DSA), "the copy"),
    Failing("idxd.error", obliging, "expected 0x10 (an opcode that the device has not), got 0x01"),
)


def test_a_group_that_cannot_be_attached_is_one_failure_not_many() -> None:
    host = LyingHost("broken")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["vfio"]), host, snapshot, "0000:06:00.0")
    results = [one for one in Run(host, snapshot, made) if isinstance(one, Result)]
    assert [one.test for one in results if one.result == "fail"] == ["vfio.group"]
    assert all(one.result == "skip" for one in results[1:])


@pytest.mark.parametrize(
    ("parent", "words"),
    [(ZIP, "one process at a time shares a domain, and first 1812 holds"), (SEC, "is identity")],
)
def test_a_domain_that_is_in_use_or_not_to_be_shared_is_a_skip(parent: str, words: str) -> None:
    host = open_host("sim:no-pasid?at=20")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["sdmdev"]), host, snapshot, parent)
    results = [*Run(host, snapshot, made, lender=Lender(host, confirmed=True))]
    assert len(results) == len(made)
    for one in results:
        assert isinstance(one, Result)
        assert one.result == "skip"
        assert words in (one.reason or "")


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EINVAL, errno.ENODEV])
def test_a_domain_that_nothing_keeps_from_being_shared_is_a_failure(number: int) -> None:
    def refuse(_call: Callable[[], int], _argument: int | bytearray) -> int:
        raise OSError(number, "it is refused")

    host, target = place("sdmdev")
    host.lies[vfio.SET_IOMMU.number] = refuse
    result = run("sdmdev.job", host, target)
    assert result.result == "fail"
    assert "it is refused" in (result.reason or "")


def test_a_job_whose_interrupt_does_not_come_is_not_taken_for_a_wrong_answer() -> None:
    host = LyingHost("edu")
    host.lies[vfio.SDMDEV_WAIT.number] = lambda _call, _argument: 0
    result = run("sdmdev.job", host, "0000:01:00.0")
    assert (result.result, result.reason) == (
        "fail",
        "1!: WAIT ended after 2 s: no interrupt came",
    )


def test_another_refusal_than_that_of_who_shares_a_domain_is_a_failure() -> None:
    host = LyingHost("no-pasid")
    host.lies[vfio.SET_IOMMU.number] = busy
    assert run("sdmdev.job", host, SEC).result == "fail"  # On identity it is EINVAL.


def test_a_queue_that_this_process_holds_itself_explains_no_refusal() -> None:
    host, target = place("sdmdev")
    is_second = iter((False, True))

    def answer(call: Callable[[], int], argument: int | bytearray) -> int:
        return busy(call, argument) if next(is_second) else call()

    host.lies[vfio.SET_IOMMU.number] = answer
    assert run("sdmdev.neighbour", host, target).result == "fail"


def busy(_call: Callable[[], int], _argument: int | bytearray) -> int:
    raise OSError(errno.EBUSY, "it is busy")


def test_each_type_of_a_parent_has_its_job_done() -> None:
    host = LyingHost("default")
    before = read_snapshot(host)
    result = run("sdmdev.job", host, SEC)
    assert (result.result, result.reason) == (
        "pass", "4 jobs of hisi_sec2-cipher, hisi_sec2-digest"
    )  # fmt: skip
    assert {"AES-128-CBC", "SHA-256"} <= {one.what for one in result.evidence}
    assert read_snapshot(host).sdmdevs == before.sdmdevs


def test_a_type_that_could_not_be_tested_is_named() -> None:
    host = LyingHost("default")
    parent = host.kernel.mdev.parents[SEC]
    capacity, parent.capacity = parent.capacity, parent.used + 1  # Its types have one pool.
    words = "2 jobs of hisi_sec2-cipher; not tested: hisi_sec2-digest (no queue is free)"
    assert run("sdmdev.job", host, SEC).reason == words
    parent.capacity = capacity
    cipher, digest = parent.types.values()
    cipher.spec = replace(cipher.spec, name="whirlpool")
    why = "no answer is known to what its type computes"
    words = f"2 jobs of hisi_sec2-digest; not tested: hisi_sec2-cipher ({why})"
    assert run("sdmdev.job", host, SEC).reason == words
    digest.spec = replace(digest.spec, name="whirlpool")
    result = run("sdmdev.job", host, SEC)
    assert (result.result, result.reason) == ("skip", why)


def test_a_channel_that_a_killed_run_had_is_to_be_had_again() -> None:
    host, target = place("dmatest")
    host.load_module("dmatest").wait(5)
    for name, value in (("iterations", "10"), ("channel", target), ("run", "1")):
        host.do(f"/sys/module/dmatest/parameters/{name}", value)
    host.step(1)
    assert host.read(f"/sys/class/dma/{target}/in_use") == b"1\n"
    assert run("dmatest.copy", host, target).result == "pass"
    assert host.read(f"/sys/class/dma/{target}/in_use") == b"0\n"


def test_every_test_can_fail() -> None:
    assert {failing.test for failing in FAILS} == set(HERE)


@pytest.mark.parametrize("failing", FAILS, ids=lambda one: f"{one.test}-{one.words[:20]}")
def test_it_fails_for_the_right_reason(failing: Failing) -> None:
    host, target = place(failing.test.partition(".")[0])
    failing.arrange(host)
    result = run(failing.test, host, target)
    assert result.result == "fail", result
    assert result.reason is not None
    assert failing.words in result.reason
