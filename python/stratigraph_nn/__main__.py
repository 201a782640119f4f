"""The command ``stratigraph``, also as ``python -m stratigraph_nn``."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from . import _native


def main() -> NoReturn:
    """Does what the command line asks for, and ends with its status."""
    # Python's handler would wait for Python to go on, which the verbs do not let it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.main(["stratigraph", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
