"""Writes to a file of sysfs as a tool would, and prints `done` or the name of the errno."""

import errno
import os
import sys


def main() -> None:
    """Arguments: text, path."""
    text, path = sys.argv[1:]
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        print(errno.errorcode[error.errno or errno.EIO])
    else:
        print("done")


if __name__ == "__main__":
    main()
