"""Wait until the scheduler at ADDRESS has N workers."""

import sys

import distributed

with distributed.Client(sys.argv[1]) as client:
    client.wait_for_workers(int(sys.argv[2]), timeout=60)
