"""The first userland of a guest: busybox, a few modules, and a script that finds the real one.

The real userland is the host's own root, read-only over 9p, under an overlay in memory; so Python,
the virtual environment and this checkout run inside as they are.
"""

import gzip
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.guest.kernels import Kernel, module_text

ROOT_TAG, SHARE_TAG = "root", "share"
SHARE = "/run/guest"
"""Where the guest sees the directory that it shares with the runner."""

_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_OPTIONS = "trans=virtio,version=9p2000.L,msize=524288"

_INIT = """\
#!/bin/busybox sh
# Each failure ends the guest: a panic is seen by the runner, a shell without input is not.
die() { echo "guest: $*"; exit 1; }
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs dev /dev || die mounts
for module in $(cat /modules/order); do
  insmod "/modules/$module" || die "cannot load $module"
done
# Behind a virtio IOMMU, devices wait until its driver has come up.
tries=0
until mount -t 9p -o ro,cache=loose,OPTIONS ROOT_TAG /lower 2>/tries; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || die "no root over 9p: $(cat /tries)"
  usleep 100000
done
mount -t tmpfs -o mode=755 upper /upper && mkdir /upper/top /upper/work || die "no memory"
mount -t overlay -o lowerdir=/lower,upperdir=/upper/top,workdir=/upper/work overlay /new ||
  die "no overlay"
# What runs on the host (udev, for one) must not seem to run here.
mount -t tmpfs -o mode=755 run /new/run && mkdir /new/run/guest || die "no /run"
mount -t 9p -o OPTIONS SHARE_TAG /new/run/guest || die "no share over 9p"
mkdir -p /new/lib/modules/RELEASE && mount --bind /lowerMODULES /new/lib/modules/RELEASE ||
  die "no kernel modules"
for place in proc sys dev; do
  mount --move "/$place" "/new/$place" || die "no /$place"
done
exec switch_root /new COMMAND
"""


def make_initramfs(
    kernel: Kernel, busybox: Path, first: Iterable[str], command: Iterable[str]
) -> bytes:
    """An initramfs that ends in `command`, run as the first process on the host's userland.

    `first` are modules to load before all others.
    """
    modules = kernel.with_dependencies(*first, *_MODULES)
    script = _INIT
    for word, text in {
        "OPTIONS": _OPTIONS,
        "ROOT_TAG": ROOT_TAG,
        "SHARE_TAG": SHARE_TAG,
        "RELEASE": kernel.release,
        "MODULES": shlex.quote(str(kernel.modules)),
        "COMMAND": shlex.join(command),
    }.items():
        script = script.replace(word, text)
    names = [file.name.removesuffix(".xz") for file in modules]
    files = {
        "init": script.encode(),
        "bin/busybox": busybox.read_bytes(),
        "modules/order": "\n".join(names).encode(),
        **{f"modules/{name}": module_text(file) for name, file in zip(names, modules, strict=True)},
    }
    folders = ("bin", "modules", "proc", "sys", "dev", "lower", "upper", "new")
    return gzip.compress(_cpio(folders, files), compresslevel=1)


def _cpio(folders: Iterable[str], files: Mapping[str, bytes]) -> bytes:
    """An archive in the kernel's format, "newc" (Documentation/driver-api/early-userspace)."""
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    out = bytearray()
    for number, (name, mode, data) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)
