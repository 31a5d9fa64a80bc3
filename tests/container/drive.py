"""What `run` does inside the network namespace: clients, probes, the kill, and the judgement.

    drive.py wait-ready             until the probes pass and a failover would come by itself
    drive.py confined PID           that the process has no rights but to write its state
    drive.py failover PID           kills PID, the primary, under load; nothing acknowledged may be missing
    drive.py wait-whole NAME        until the server NAME, which was dead, is a mirror again
    drive.py exit SECRET_FILE       ends the sidecar as a job's main container does
"""

import collections
import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

SIDECAR = ("127.0.0.1", 7000)
ADMIN = ("127.0.0.1", 7001)
SECOND = ("127.0.0.1", 6380)
CLIENTS = 4
# Acknowledged writes of each client before the kill, and again after it.
ENOUGH = 200
# Far above what anything here takes: reached only when it never comes.
PATIENCE = 60.0
LOOK = 0.02


class Fault(Exception):
    """What was promised is not so."""


def demand(holds: bool, otherwise: object) -> None:
    if not holds:
        raise Fault(str(otherwise))


def wait(what: str, condition) -> object:
    """Asks until the answer is neither None nor False, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        demand(time.monotonic() < deadline, f"never came: {what}")
        time.sleep(LOOK)


def ask(method: str, path: str, secret: str | None = None) -> tuple[int, object]:
    """Status and document; 0 while nobody listens."""
    connection = http.client.HTTPConnection(*ADMIN, timeout=5)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {secret}"} if secret else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except ConnectionError:
        return 0, None
    finally:
        connection.close()


def store() -> dict:
    status, stores = ask("GET", "/v1/stores")
    demand(status == 200, f"/v1/stores: {status}")
    return stores[0]


class Connection:
    """As much of a Redis client as is needed: one command, one reply of one line or one string."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.reader = self.socket.makefile("rb")

    def do(self, *words: str) -> str:
        command = [f"*{len(words)}\r\n"] + [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self.socket.sendall("".join(command).encode())
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed in place of a reply")
        if line[:1] != b"$":
            return line[:-2].decode()
        length = int(line[1:])
        return "(nil)" if length < 0 else self.reader.read(length + 2)[:-2].decode()


class Client(threading.Thread):
    """Writes one key after the other, each once, and keeps what came back."""

    def __init__(self, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.label, self.stop = name, stop
        self.acknowledged: list[str] = []
        self.refused: collections.Counter[str] = collections.Counter()
        self.longest = 0.0
        self.end: Exception | None = None

    def run(self) -> None:
        try:
            connection, number = Connection(SIDECAR), 0
            while not self.stop.is_set():
                key, begun = f"{self.label}:{number}", time.monotonic()
                reply = connection.do("SET", key, key)
                self.longest = max(self.longest, time.monotonic() - begun)
                if reply == "+OK":
                    self.acknowledged.append(key)
                else:
                    self.refused[reply.split()[0]] += 1
                number += 1
        except (OSError, ValueError) as error:
            self.end = error


def wait_ready() -> None:
    for path in ("/startup", "/live", "/ready"):
        wait(f"{path} answers 200", lambda path=path: ask("GET", path)[0] == 200)
    wait("a failover would come by itself", lambda: store()["automatic_failover"])


def confined(pid: int) -> None:
    process = pathlib.Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    demand(set(status["Uid"].split()) == {"65532"}, f"it runs as {status['Uid']}")
    demand(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, "it has capabilities")
    demand(status["NoNewPrivs"] == "1", "it may gain rights")
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    options = {mount[4]: mount[5].split(",") for mount in mounts}
    demand("ro" in options["/"], f"its root file system: {options['/']}")
    demand("rw" in options["/var/lib/foretoken"], f"its state: {options['/var/lib/foretoken']}")
    peak = int(status["VmHWM"].split()[0]) / 1024
    print(f"container: user 65532, no capability, read-only root file system, {peak:.0f} MiB at most so far")


def failover(pid: int) -> None:
    before = store()
    demand(before["primary"] == "redis-a", before)
    stop = threading.Event()
    clients = [Client(f"client-{number}", stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()

    def each_has(counts: list[int]) -> bool:
        for client in clients:
            demand(client.end is None, f"{client.label} was cut off: {client.end!r}")
        return all(len(client.acknowledged) >= count for client, count in zip(clients, counts, strict=True))

    wait("traffic goes through", lambda: each_has([ENOUGH] * CLIENTS))
    os.kill(pid, signal.SIGKILL)
    killed, counts = time.monotonic(), [len(client.acknowledged) for client in clients]
    wait("traffic goes on after the kill", lambda: each_has([count + ENOUGH for count in counts]))
    gone_on = time.monotonic() - killed
    stop.set()
    for client in clients:
        client.join(PATIENCE)
        demand(not client.is_alive(), f"{client.label} got no reply")

    after = store()
    demand(after["primary"] == "redis-b" and after["epoch"] > before["epoch"], after)
    # Asked past the sidecar: what counts is what the server has.
    second, written, missing = Connection(SECOND), 0, []
    for client in clients:
        written += len(client.acknowledged)
        missing += [key for key in client.acknowledged if second.do("GET", key) != key]
    refused = sum((client.refused for client in clients), collections.Counter())
    longest = max(client.longest for client in clients)
    print(f"container: {written} writes acknowledged, {len(missing)} of them missing, {dict(refused) or 'none'} refused;"
          f" the longest took {longest:.2f} s, all went on {gone_on:.2f} s after the kill")
    demand(not missing, f"acknowledged and lost: {missing[:5]}")
    # One write of each client may have been under way; none had to wait for longer than hold_max.
    demand(refused.keys() <= {"-FTINDOUBT"} and refused.total() <= CLIENTS, refused)


def wait_whole(name: str) -> None:
    def whole() -> bool:
        now = store()
        role = next(endpoint["role"] for endpoint in now["endpoints"] if endpoint["name"] == name)
        return role == "mirror" and now["primary"] != name and now["automatic_failover"]

    wait(f"{name} is a mirror", whole)
    print(f"container: {name} came back and is a mirror")


def leave(secret_file: str) -> None:
    status, problem = ask("POST", "/v1/exit")
    demand(status == 401, f"without the secret: {status} {problem}")
    demand(ask("GET", "/ready")[0] == 200, "it is not ready after an order that was refused")
    status, readiness = ask("POST", "/v1/exit", pathlib.Path(secret_file).read_text().strip())
    demand(status == 202 and not readiness["ready"], f"{status} {readiness}")
    wait("nobody listens any more", lambda: ask("GET", "/live")[0] == 0)


def main() -> int:
    orders = {
        "wait-ready": wait_ready,
        "confined": lambda: confined(int(sys.argv[2])),
        "failover": lambda: failover(int(sys.argv[2])),
        "wait-whole": lambda: wait_whole(sys.argv[2]),
        "exit": lambda: leave(sys.argv[2]),
    }
    try:
        orders[sys.argv[1]]()
    except Fault as fault:
        print(f"container: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
