import errno
import os

import pytest

from sdmtop.backends.limits import SIDE_EFFECTS, refuse_side_effects


@pytest.mark.parametrize("name", sorted(SIDE_EFFECTS))
def test_what_has_side_effects_is_refused_wherever_it_is(name: str) -> None:
    for path in (f"/sys/kernel/debug/hisi_zip/0000:75:00.0/{name}", f"/{name}", name):
        with pytest.raises(PermissionError) as caught:
            refuse_side_effects(path)
        assert caught.value.errno == errno.EPERM
        assert caught.value.filename == path


def test_the_files_of_kernel_abi_rules_4_and_9_are_among_them() -> None:
    assert {"sriov_numvfs", "sriov_vf_total_msix", "alg_qos", "regs", "wait"} <= SIDE_EFFECTS


@pytest.mark.parametrize("path", ["/sys/wait/x", "/sys/await", "/sys/sriov_numvfs_", "/", ""])
def test_other_names_are_not_refused(path: str) -> None:
    refuse_side_effects(path)
    assert os.path.basename(path) not in SIDE_EFFECTS
