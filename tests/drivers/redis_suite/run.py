"""Redis' own tests in their mode for an external server, which is the sidecar: each that passes against a plain server
must pass, but for those that expected.toml leaves out for a reason.

    run.py PROGRAM SOURCE [UNIT..]      SOURCE: what fetch has unpacked
    run.py --direct SOURCE [UNIT..]     against a plain server: the numbers of expected.toml
"""

import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

from servers import Fault, free_port, redis_server, sidecar  # noqa: E402

# No unit takes a quarter of it; one that hangs must not hang the lane.
LONGEST = 240
# It keeps no records in the store then: tests that read the replication stream would meet their renewals.
FOLLOW = 'manage = "follow"'
TOOLS = ("redis-server", "redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb")


def link_tools(source: pathlib.Path) -> None:
    """The tests look for the programs of Redis where a build leaves them."""
    for name in TOOLS:
        found, link = shutil.which(name), source / "src" / name
        if not found:
            raise Fault(f"{name} is not installed")
        link.unlink(missing_ok=True)
        link.symlink_to(found)


def run_unit(source: pathlib.Path, unit: str, port: int, skipped: list[str]) -> dict[str, collections.Counter]:
    """How each test of a unit ended, by `ok`, `err` and so on."""
    command = ["./runtest", "--host", "127.0.0.1", "--port", str(port), "--single", unit, "--durable",
               # The tests take ports from here on, each with the one that is 10 000 higher.
               "--baseport", str(20_000 + free_port() % 10_000), "--portcount", "100"]
    for name in skipped:
        command += ["--skiptest", name]
    # A group of its own, because the tests have a server and clients.
    with subprocess.Popen(command, cwd=source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as tests:
        try:
            printed, hangs = tests.communicate(timeout=LONGEST)[0], ""
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            printed, hangs = tests.communicate()[0], f" after {LONGEST} s"
    output = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode(errors="replace")).replace("\0", "")
    ended: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for how, name in re.findall(r"^\[(ok|err|skip)\]: (.*)$", output, re.MULTILINE):
        ended[how][re.sub(r" \(\d+ ms\)$" if how == "ok" else rf" in tests/{unit}\.tcl$", "", name)] += 1
    if f"done]: {unit} " not in output:
        raise Fault(f"{unit} broke off{hangs}:\n{output[-2000:]}")
    if ended["err"]:
        print(output[output.index("[err]"):][:6000], file=sys.stderr)
    return ended


@contextlib.contextmanager
def target(program: str):
    """A server of a unit's own, so that what one leaves behind troubles no other; with the sidecar in front, or without."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        work = pathlib.Path(name)
        server = stack.enter_context(redis_server(work / "server", "enable-protected-configs yes"))
        yield server if program == "--direct" else stack.enter_context(sidecar(program, work / "sidecar", FOLLOW, [server]))


def main() -> int:
    program, source, *chosen = sys.argv[1:]
    source = pathlib.Path(source)
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    direct = program == "--direct"
    link_tools(source)
    faults, passed = [], 0
    for unit in chosen or expected["units"]:
        left_out = expected["fails_anywhere"].get(unit, {}) | ({} if direct else expected["left_out"].get(unit, {}))
        try:
            with target(program) as port:
                ended = run_unit(source, unit, port, list(left_out))
        except Fault as fault:
            faults.append(str(fault))
            continue
        ok, failed, skipped = ended["ok"], ended["err"], ended["skip"]
        passed += ok.total()
        print(f"compat: {unit}: {ok.total()} passed, {failed.total()} failed, {skipped.total()} left out", flush=True)
        faults += [f"{unit}: fails: {name}" for name in failed]
        faults += [f"{unit}: is in expected.toml and not in the unit: {name}" for name in left_out if name not in skipped]
        ran = ok.total() + failed.total() + skipped.total()
        if ran != expected["units"].get(unit):
            faults.append(f"{unit}: {ran} tests in place of {expected['units'].get(unit)}")
    print(f"compat: {passed} tests of Redis passed, {len(faults)} faults")
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Fault as fault:
        sys.exit(f"compat: {fault}")
