"""Drives client libraries over their public API, once against a server and once through the sidecar: what they see must
be equal, but for what differences.toml gives a reason for.

    run.py PROGRAM NODE_MODULES [DRIVER..]
"""

import contextlib
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

from servers import PASSWORD, Fault, environment, mirrors, redis_server, secret_file, sidecar, until

HERE = pathlib.Path(__file__).parent
LOGIN = f"AUTH {PASSWORD}"
# A user who may read some keys, besides the default one, whose password the mirror and the sidecar use too.
SERVER = f"""requirepass {PASSWORD}
masterauth {PASSWORD}
user reader on >readers-word ~open:* resetchannels +@read +@connection +@transaction +acl|whoami"""
# No run takes a tenth of it; a driver that hangs must not hang the lane.
LONGEST = 300


def drive(command: list[str], url: str) -> list[list]:
    """What the driver tells, in order: a name and what came."""
    try:
        ran = subprocess.run([*command, url, PASSWORD], env=environment(), timeout=LONGEST, stdout=subprocess.PIPE)
    except subprocess.TimeoutExpired as hung:
        raise Fault(f"{command} hangs at {url} after {(hung.output or b'').splitlines()[-1:]}") from hung
    if ran.returncode:
        raise Fault(f"{command} ended with {ran.returncode} at {url}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def certificate(directory: pathlib.Path) -> str:
    """The lines of a configuration that let clients come over TLS, and the files that they name."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=foretoken", "-addext", "subjectAltName=IP:127.0.0.1", "-out", cert, "-keyout", key],
                   check=True, capture_output=True)
    return f'[store.tls]\ncert_file = "{cert}"\nkey_file = "{key}"\n'


def compare(driver: str, direct: list[list], through: list[list], known: dict[str, str]) -> list[str]:
    """The differences that nobody knows of, and the known ones that are none any more."""
    faults, met = [], set()
    for here, there in itertools.zip_longest(direct, through, fillvalue=["(nothing more)", None]):
        name = here[0]
        both = f"{driver}: {name}\n    direct:  {json.dumps(here)[:500]}\n    through: {json.dumps(there)[:500]}"
        # What follows would be compared with something else, or is missing from both.
        if name != there[0] or name.endswith("broke off"):
            return [*faults, both]
        if here != there:
            met.add(name)
            if name not in known:
                faults.append(both)
    return faults + [f"{driver}: {name}: is equal now; take it out of differences.toml" for name in known.keys() - met]


def main() -> int:
    program, modules, *chosen = sys.argv[1:]
    python = [sys.executable, str(HERE / "redis_py.py")]
    drivers = {"redis-py": python} | {name: ["node", str(HERE / f"{name}.mjs"), modules] for name in ("node-redis", "ioredis")}
    known = tomllib.loads((HERE / "differences.toml").read_text())
    faults: list[str] = []
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def server(name: str, more: str = "") -> int:
            return stack.enter_context(redis_server(work / name, f"{SERVER}\n{more}", LOGIN))

        def front(name: str, more: str = "") -> int:
            """A sidecar before a primary and a mirror."""
            servers = [server(f"{name}-primary"), server(f"{name}-mirror")]
            port = stack.enter_context(sidecar(program, work / name, more + secret_file(work), servers))
            until("the mirror has everything", lambda: mirrors(servers[0], LOGIN))
            return port

        plain = server("plain")
        # A mirror as the others have, so that WAIT has the same to say.
        server("plain-mirror", f"replicaof 127.0.0.1 {plain}")
        until("the mirror has everything", lambda: mirrors(plain, LOGIN))
        direct, through = f"redis://127.0.0.1:{plain}", f"redis://127.0.0.1:{front('clear')}"
        pairs = {name: (command, through) for name, command in drivers.items()}
        pairs["redis-py over TLS"] = python, f"rediss://127.0.0.1:{front('secure', certificate(work))}?ssl_ca_certs={work}/cert.pem"
        for name in chosen or pairs:
            command, url = pairs[name]
            reasons = known.get(pathlib.Path(command[1]).name, {})
            seen = drive(command, direct)
            new = compare(name, seen, drive(command, url), reasons)
            faults += new
            print(f"compat: {name}: {len(seen)} things compared, {len(reasons)} differ for a known reason, {len(new)} for none",
                  flush=True)
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Fault as fault:
        sys.exit(f"compat: {fault}")
