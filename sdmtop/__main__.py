"""`python -m sdmtop`."""

import sys

from sdmtop.launch import main

sys.exit(main())
