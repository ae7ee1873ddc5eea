"""Serve FOLDER on loopback with ranges: print the address, end with standard input."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from server import serving

with serving(Path(sys.argv[1])) as running:
    print(running.address, flush=True)
    sys.stdin.read()
