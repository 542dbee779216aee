"""Logs exchanges for ever and tells on stdout which, so that a test can kill it: `python victim.py URL FOLDER`."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.traffic.conftest import exchange
from tunewright.traffic.store import TrafficStore

store = TrafficStore.open(sys.argv[1], Path(sys.argv[2]))
writer = store.writer()
number = 0
while True:
    writer.log(exchange(number, prompt=f"mail jo{number}@firm.example", time=datetime.now(UTC)))
    sys.stdout.write(f"{number} {time.time()}\n")
    sys.stdout.flush()
    number += 1
    time.sleep(0.0005)
