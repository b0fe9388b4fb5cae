"""A line between two interfaces on which every packet takes some milliseconds.

    python3 delay.py NAME NAME MILLISECONDS

Makes two TUN interfaces, prints "ready", and passes packets on until its input ends. For kernels
without netem. A packet leaves no earlier than its delay, and later by what the scheduler takes.
"""

import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
BATCH = 64


def interface(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def main(first, second, milliseconds):
    ends = [interface(first), interface(second)]
    delay = float(milliseconds) / 1000
    queues = {ends[0]: collections.deque(), ends[1]: collections.deque()}
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    try:
        # Delays must not depend on what computes on the machines.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass
    print("ready", flush=True)
    while True:
        due = min((queue[0][0] for queue in queues.values() if queue), default=None)
        wait = None if due is None else max(0, due - time.monotonic())
        readable, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            return
        now = time.monotonic()
        for end in ends:
            if end not in readable:
                continue
            for _ in range(BATCH):
                try:
                    packet = os.read(end, 65536)
                except BlockingIOError:
                    break
                except OSError:
                    # The interface is not up yet, or not any more.
                    break
                queues[other[end]].append((now + delay, packet))
        for end, queue in queues.items():
            while queue and queue[0][0] <= time.monotonic():
                try:
                    os.write(end, queue.popleft()[1])
                except OSError:
                    pass


main(*sys.argv[1:])
