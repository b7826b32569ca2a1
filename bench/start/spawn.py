"""`spawn.py DESCRIPTOR COMMAND...`: runs a command and writes the seconds that it took, and its peak memory in bytes.

A process of its own, and a small one: what a child counts as its peak includes what it was forked from.
"""

import os
import sys
import time

report = int(sys.argv[1])
command = sys.argv[2:]
start = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, report)])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
os.write(report, f"{seconds} {usage.ru_maxrss << 10}".encode())
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
