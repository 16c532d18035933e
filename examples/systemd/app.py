#!/usr/bin/python3
"""A small service that speaks sd_notify(3) and takes its sockets from sd_listen_fds(3), with
nothing but Python's own library.

app.py [--store] [STATUS]
"""

import array
import os
import select
import signal
import socket
import sys
import time


def notify(message, descriptors=()):
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(address)
        manager.sendmsg([message.encode()], rights if descriptors else [])


def given():
    """The descriptors of sd_listen_fds(3): name -> descriptor."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(os.environ["LISTEN_FDS"])
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (count - len(names))
    return dict(zip(names, range(3, 3 + count)))


def count_starts(descriptors):
    """Counts in a memory file that the service manager keeps while this service is restarted."""
    if "starts" in descriptors:
        memory = descriptors["starts"]
    else:
        memory = os.memfd_create("starts")
        notify("FDSTORE=1\nFDNAME=starts", [memory])
    number = int(os.pread(memory, 16, 0) or b"0") + 1
    os.pwrite(memory, b"%d" % number, 0)
    return number


def main():
    words = [word for word in sys.argv[1:] if word != "--store"]
    label = words[0] if words else "up"
    descriptors = given()
    starts = count_starts(descriptors) if "--store" in sys.argv else 1
    servers = [socket.socket(fileno=fd) for name, fd in descriptors.items() if name != "starts"]
    hangs = False

    def reload(*_):
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify(f"RELOADING=1\nMONOTONIC_USEC={now}")
        notify("READY=1\nSTATUS=reloaded")

    def stop(*_):
        notify("STOPPING=1\nSTATUS=stopped in peace")
        sys.exit(0)

    def hang(*_):
        nonlocal hangs
        hangs = True

    signal.signal(signal.SIGHUP, reload)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, hang)
    print(f"process {os.getpid()} of user {os.getuid()} is {label}", flush=True)
    notify(f"READY=1\nSTATUS={label}, start {starts}")
    mine = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
    period = int(os.environ.get("WATCHDOG_USEC", 0)) / 1e6 / 3 if mine else 0
    while True:
        ready, _, _ = select.select(servers, [], [], period or None)
        for server in ready:
            connection, _ = server.accept()
            connection.sendall(f"{label}, start {starts}\n".encode())
            connection.close()
        if period and not hangs:
            notify("WATCHDOG=1")


if __name__ == "__main__":
    main()
