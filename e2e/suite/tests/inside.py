"""Looks round inside a pod, as a tool that claude runs would, and prints what it found as one JSON line.

Arguments: the two halves of the model key (never the whole, or this script would find itself), then name=host:port pairs.
"""

import json
import os
import socket
import subprocess
import sys

key = (sys.argv[1] + sys.argv[2]).encode()
found = {}


def contains(path):
    try:
        with open(path, "rb") as file:
            return key in file.read(1 << 22)
    except OSError:
        return None


def memory_has_key(pid):
    """None when the memory may not be read at all."""
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                if not rights.startswith("rw"):
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                while start < end:
                    size = min(end - start, 1 << 24)
                    try:
                        memory.seek(start)
                        if key in memory.read(size):
                            return True
                    except (OSError, ValueError, OverflowError):
                        break
                    start += size
        return False
    except OSError:
        return None


def can_write(path):
    try:
        with open(path, "w"):
            pass
        os.unlink(path)
        return True
    except OSError:
        return False


def reachable(target):
    host, port = target.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=3):
            return True
    except OSError:
        return False


status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
pids = [entry for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]
found["token"] = os.path.exists("/var/run/secrets/kubernetes.io") or os.path.exists("/run/secrets/kubernetes.io")
found["capabilities"] = {name: status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
found["no_new_privs"] = status["NoNewPrivs"]
found["uid"] = os.getuid()
found["root_read_only"] = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
# Folders of the image that this user may write in, were the image not read-only.
found["root_writable"] = [path for path in ("/home/agent/probe", "/var/tmp/probe") if can_write(path)]
found["key_in_env"] = key in b"\0".join(f"{k}={v}".encode() for k, v in os.environ.items())
found["key_in_environ"] = [pid for pid in pids if contains(f"/proc/{pid}/environ")]
found["runner_environ_readable"] = contains("/proc/1/environ") is not None
found["runner_memory_readable"] = memory_has_key(1) is not None
found["key_in_memory"] = [pid for pid in pids if memory_has_key(pid)]
found["memories_read"] = sum(memory_has_key(pid) is not None for pid in pids)
files = []
for pid in pids:
    try:
        files += [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        pass
regular = [path for path in files if os.path.isfile(path)]
found["key_in_open_files"] = [path for path in regular if contains(path)]
found["runner_files_readable"] = os.access("/proc/1/fd", os.R_OK) and bool(os.listdir("/proc/1/fd"))
found["key_on_disk"] = subprocess.run(["grep", "-rlF", key.decode(), "/topic", "/tmp"], capture_output=True, text=True).stdout
found["reachable"] = {name: reachable(target) for name, target in (pair.split("=", 1) for pair in sys.argv[3:])}
print(json.dumps(found))
