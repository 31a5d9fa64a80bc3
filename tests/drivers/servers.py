"""Redis servers of one's own and the sidecar, in a temporary directory, and gone at the end."""

import contextlib
import http.client
import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

# Far above what anything here takes: reached only when it never comes.
PATIENCE = 30.0
PASSWORD = "secret"


class Fault(Exception):
    """Something of what is tested, or of what the test needs, is not so."""


def until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Fault(f"never came: {what}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(port: int, *words: str) -> str:
    """What a server replies to these inline commands; empty while nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as asked:
            asked.sendall("".join(f"{line}\r\n" for line in words).encode())
            asked.shutdown(socket.SHUT_WR)
            return asked.makefile("rb").read().decode("latin-1")
    except ConnectionError:
        return ""


@contextlib.contextmanager
def process(command: list[str], log: pathlib.Path) -> Iterator[subprocess.Popen]:
    with log.open("ab") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as child:
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()


@contextlib.contextmanager
def redis_server(directory: pathlib.Path, config: str, login: str = "") -> Iterator[int]:
    """A server with these lines of configuration. Gives its port."""
    directory.mkdir()
    port = free_port()
    file = directory / "redis.conf"
    file.write_text(f'port {port}\nbind 127.0.0.1\ndir {directory}\nappendonly yes\nsave ""\nenable-debug-command yes\n{config}\n')
    with process(["redis-server", str(file)], directory / "log") as child:

        def answers() -> bool:
            if child.poll() is not None:
                raise Fault((directory / "log").read_text())
            return "+PONG" in ask(port, *filter(None, [login]), "PING")

        until("the server answers", answers)
        yield port


@contextlib.contextmanager
def sidecar(program: str, directory: pathlib.Path, store: str, endpoints: list[int]) -> Iterator[int]:
    """The program in front of these servers, the primary first; `store` is more of its store. Gives the port.

    What is tested is what clients see, and not how soon a server that does not answer is left: on a busy machine a value
    of 64 MiB keeps one silent for a second.
    """
    directory.mkdir()
    port, admin = free_port(), free_port()
    file = directory / "foretoken.toml"
    lines = [f'[admin]\nlisten = "127.0.0.1:{admin}"', "[[store]]", 'name = "drivers"', 'protocol = "redis"',
             f'listen = ["127.0.0.1:{port}"]', 'writers = "this-sidecar"', 'hold_max = "30s"', store, '[store.detect]\nprobe_timeout = "10s"\nconfirm = "20s"',
             '[store.lease]\nttl = "30s"']
    for number, endpoint in enumerate(endpoints):
        role = "mirror" if number else "primary"
        lines.append(f'[[store.endpoint]]\nname = "server-{number}"\nurl = "redis://127.0.0.1:{endpoint}"\nrole = "{role}"')
    file.write_text("\n".join(lines))

    def ready() -> bool:
        if child.poll() is not None:
            raise Fault((directory / "log").read_text())
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", admin, timeout=PATIENCE)) as asked:
            try:
                asked.request("GET", "/ready")
                return asked.getresponse().status == 200
            except ConnectionError:
                return False

    with process([program, "run", "--config", str(file)], directory / "log") as child:
        until("the sidecar serves", ready)
        yield port


def secret_file(directory: pathlib.Path) -> str:
    """The line of a configuration that lets the sidecar in, and the file that it names."""
    file = directory / "password"
    file.touch(mode=0o600)
    file.write_text(PASSWORD)
    return f'[store.control]\npassword_file = "{file}"'


def mirrors(port: int, login: str) -> bool:
    """Whether the server has one replica that has everything."""
    return "state=online" in ask(port, login, "INFO replication")


def environment() -> dict[str, str]:
    """Ours, with nothing that a library might read."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
