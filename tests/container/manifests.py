"""Holds the image, compose.yaml and the Kubernetes manifest to each other and to the program.

    manifests.py [PROGRAM]      PROGRAM also reads the configurations, which are inside the manifests

What a schema can say (does this key exist?) `manifests` beside this file asks of the published schemas. Here is what no
schema knows: whether a probe asks for a path that the program serves, whether what must be writable is, whether the
memory is enough. Each check is shown to fail: the tests break the files in every way of BREAKS and want a complaint.
"""

import copy
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "config/kubernetes/sidecar.yaml"
PROGRAM = sys.argv.pop() if len(sys.argv) > 1 else None

PROBES = {"startupProbe": "/startup", "livenessProbe": "/live", "readinessProbe": "/ready"}
# Defaults of config/foretoken.toml that a container's limits depend on.
HOLD_BYTES, DRAIN_MAX = 64 << 20, 10
# What the process takes beside held requests; a quiet one takes 10 MiB, one with 10 000 clients some 60.
BASE_BYTES = 64 << 20
# Letting go of the stores and of the admin's callers, after the drain.
LET_GO = 8


def in_bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|m|g)", text).groups()
    return int(number) << (20 if unit in ("Mi", "m") else 30)


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text).group(1))


class Files:
    """Everything that has to agree."""

    def __init__(self) -> None:
        self.config_map, self.deployment = yaml.safe_load_all(KUBERNETES.read_text())
        self.compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
        dockerfile = (ROOT / "Dockerfile").read_text()
        last = dockerfile[dockerfile.rindex("\nFROM ") :]
        self.image = dict(re.findall(r"^(FROM|USER|VOLUME|WORKDIR|ENTRYPOINT|CMD|EXPOSE) (.+)$", last, re.MULTILINE))
        # The routes as the program declares them, so that a renamed one is noticed here.
        server = (ROOT / "proxy/admin/src/server.rs").read_text()
        self.routes = set(re.findall(r'utoipa::path\(\s*get,\s*path = "([^"]+)"', server))

    def config(self) -> dict:
        return tomllib.loads(self.config_map["data"]["foretoken.toml"])

    def compose_config(self) -> str:
        return (ROOT / "config/examples/compose.toml").read_text()

    def pod(self) -> dict:
        return self.deployment["spec"]["template"]["spec"]

    def sidecar(self) -> dict:
        return self.pod()["initContainers"][0]

    def compose_sidecar(self) -> dict:
        return self.compose["services"]["sidecar"]


def image_faults(files: Files):
    image = files.image
    if image.get("FROM") != "scratch":
        yield "the image is built on something"
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.get("USER", "")):
        yield "USER of the image is not a number other than 0"
    if image.get("VOLUME") != '["/var/lib/foretoken"]':
        yield "the state directory is no volume of the image"


def kubernetes_faults(files: Files):
    config, pod, sidecar, spec = files.config(), files.pod(), files.sidecar(), files.deployment["spec"]
    # Without numbers image_faults complains.
    uid, gid = (int(number) for number in re.findall(r"\d+", files.image["USER"]) or (0, 0))

    if sidecar.get("restartPolicy") != "Always":
        yield "the init container is no sidecar: the application would wait for it to end"
    mounts = {mount["mountPath"]: mount for mount in sidecar["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for path, mount in mounts.items():
        if mount["name"] not in volumes:
            yield f"{path} is of a volume that is not there"
    state = config["state_dir"]
    if state not in mounts or mounts[state].get("readOnly"):
        yield "the state directory can't be written"
    file = pathlib.PurePosixPath(sidecar["args"][sidecar["args"].index("--config") + 1])
    held = volumes.get(mounts.get(str(file.parent), {}).get("name"), {})
    if held.get("configMap", {}).get("name") != files.config_map["metadata"]["name"]:
        yield "the configuration is not mounted where it is read"
    if file.name not in files.config_map["data"]:
        yield "the configuration has another name than the one that is read"

    host, port = config["admin"]["listen"].rsplit(":", 1)
    if host in ("127.0.0.1", "[::1]", "localhost"):
        yield "the kubelet asks the pod's address, and the admin listens on loopback"
    ports = {entry["name"]: entry["containerPort"] for entry in sidecar["ports"]}
    for name, path in PROBES.items():
        probe = sidecar.get(name, {}).get("httpGet", {})
        if probe.get("path") != path or path not in files.routes:
            yield f"{name} asks for {probe.get('path')}"
        if ports.get(probe.get("port")) != int(port):
            yield f"{name} asks at another port than the admin's"

    inner, outer = sidecar["securityContext"], pod["securityContext"]
    for key, value in {
        "runAsUser": uid,
        "runAsGroup": gid,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }.items():
        if inner.get(key) != value:
            yield f"securityContext.{key} is {inner.get(key)}"
    if outer.get("fsGroup") != gid:
        yield "a volume claim of the state would be root's"
    if outer.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "there is no seccomp profile"

    resources = sidecar["resources"]
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "nothing is requested"
    if in_bytes(resources["limits"]["memory"]) < HOLD_BYTES + BASE_BYTES:
        yield "the limit of memory ends the sidecar when hold_bytes are held"
    if pod["terminationGracePeriodSeconds"] < DRAIN_MAX + LET_GO:
        yield "it is killed before it has drained"
    for store in config["store"]:
        if store.get("writers") == "this-sidecar" and (
            spec["replicas"] != 1 or spec["strategy"]["type"] != "Recreate"
        ):
            yield "several sidecars, each of which says that nobody else writes"
    url = next(entry["value"] for entry in pod["containers"][0]["env"] if entry["name"] == "REDIS_URL")
    if url != f"redis://{config['store'][0]['listen'][0]}":
        yield "the application connects elsewhere"
    selected = spec["selector"]["matchLabels"]
    if not selected.items() <= spec["template"]["metadata"]["labels"].items():
        yield "the deployment does not select its own pods"


def compose_faults(files: Files):
    services, sidecar = files.compose["services"], files.compose_sidecar()
    config = tomllib.loads(files.compose_config())
    mounts = dict(volume.split(":")[:2][::-1] for volume in sidecar["volumes"])
    if mounts.get(config["state_dir"]) not in files.compose["volumes"]:
        yield "the state directory is no named volume"
    source = mounts.get("/etc/foretoken/foretoken.toml", "nothing")
    if not (ROOT / source).is_file() or "/etc/foretoken/foretoken.toml" not in files.image["CMD"]:
        yield "the configuration is not where the image reads it"
    if not sidecar.get("read_only") or sidecar.get("cap_drop") != ["ALL"]:
        yield "the sidecar has rights that it does not need"
    if "no-new-privileges:true" not in sidecar.get("security_opt", []):
        yield "the sidecar may gain rights"
    if in_bytes(sidecar["mem_limit"]) < HOLD_BYTES + BASE_BYTES:
        yield "the limit of memory ends the sidecar when hold_bytes are held"
    if seconds(sidecar["stop_grace_period"]) < DRAIN_MAX + LET_GO:
        yield "it is killed before it has drained"
    program, *arguments = sidecar["healthcheck"]["test"][1:]
    if [program] != yaml.safe_load(files.image["ENTRYPOINT"]) or sidecar["healthcheck"]["test"][0] != "CMD":
        yield "the health check runs something that is not in the image"
    if arguments != ["status", "--ready", "--admin", f"{config['state_dir']}/admin.sock"]:
        yield "the health check asks elsewhere"
    published = [port.rsplit(":", 1) for port in sidecar["ports"]]
    listening = {address.rsplit(":", 1)[1] for store in config["store"] for address in store["listen"]}
    if any(inside not in listening or not outside.startswith("127.0.0.1:") for outside, inside in published):
        yield "a port is published that nobody serves, or to the whole network"
    for endpoint in config["store"][0]["endpoint"]:
        name = re.fullmatch(r"redis://([^:]+):6379", endpoint["url"]).group(1)
        server = services.get(name)
        if server is None:
            yield f"there is no {name}"
        elif "--appendonly yes" not in " ".join(server["command"]):
            yield f"{name} is not persistent"
        elif "ports" in server and config["store"][0].get("writers") == "this-sidecar":
            yield f"others can write to {name}"
        elif not any(volume.endswith(":/data") for volume in server.get("volumes", [])):
            yield f"{name} loses its data with its container"


def faults(files: Files) -> list[str]:
    return [*image_faults(files), *kubernetes_faults(files), *compose_faults(files)]


def replace(files: Files, old: str, new: str) -> None:
    text = files.config_map["data"]["foretoken.toml"]
    assert old in text, old
    files.config_map["data"]["foretoken.toml"] = text.replace(old, new)


# One line each: a way to break the files. Every one must be complained of.
BREAKS = {
    "root": lambda f: f.image.update(USER="0:0"),
    "user by name": lambda f: f.image.update(USER="nonroot"),
    "a base image": lambda f: f.image.update(FROM="docker.io/library/debian:12"),
    "no volume": lambda f: f.image.pop("VOLUME"),
    "an init container that has to end": lambda f: f.sidecar().pop("restartPolicy"),
    "a probe of a path that is not served": lambda f: f.routes.remove("/live"),
    "a swapped probe": lambda f: f.sidecar()["livenessProbe"]["httpGet"].update(path="/ready"),
    "no startup probe": lambda f: f.sidecar().pop("startupProbe"),
    "a probe at a port without a name": lambda f: f.sidecar()["readinessProbe"]["httpGet"].update(port="admin"),
    "another admin port": lambda f: replace(f, ":7001", ":7002"),
    "an admin on loopback": lambda f: replace(f, "0.0.0.0:7001", "127.0.0.1:7001"),
    "a writable root": lambda f: f.sidecar()["securityContext"].update(readOnlyRootFilesystem=False),
    "capabilities": lambda f: f.sidecar()["securityContext"].pop("capabilities"),
    "escalation": lambda f: f.sidecar()["securityContext"].pop("allowPrivilegeEscalation"),
    "another user": lambda f: f.sidecar()["securityContext"].update(runAsUser=1000),
    "no group for volumes": lambda f: f.pod()["securityContext"].pop("fsGroup"),
    "no seccomp": lambda f: f.pod()["securityContext"].pop("seccompProfile"),
    "a state that is not mounted": lambda f: replace(f, 'state_dir = "/var/lib/', 'state_dir = "/srv/'),
    "a state that is read-only": lambda f: f.sidecar()["volumeMounts"][1].update(readOnly=True),
    "a volume that is not there": lambda f: f.pod()["volumes"].pop(),
    "another configuration": lambda f: f.sidecar()["args"].__setitem__(2, "/etc/foretoken.toml"),
    "a renamed configuration map": lambda f: f.config_map["metadata"].update(name="other"),
    "too little memory": lambda f: f.sidecar()["resources"]["limits"].update(memory="100Mi"),
    "no requests": lambda f: f.sidecar()["resources"].pop("requests"),
    "a hasty kill": lambda f: f.pod().update(terminationGracePeriodSeconds=10),
    "two sole writers": lambda f: f.deployment["spec"].update(replicas=2),
    "two sole writers for a moment": lambda f: f.deployment["spec"]["strategy"].update(type="RollingUpdate"),
    "an application that bypasses": lambda f: f.pod()["containers"][0]["env"][0].update(value="redis://redis-a:6379"),
    "labels that differ": lambda f: f.deployment["spec"]["selector"]["matchLabels"].update(x="y"),
    "compose: a writable root": lambda f: f.compose_sidecar().pop("read_only"),
    "compose: capabilities": lambda f: f.compose_sidecar().pop("cap_drop"),
    "compose: new rights": lambda f: f.compose_sidecar().pop("security_opt"),
    "compose: a state that is lost": lambda f: f.compose["volumes"].pop("state"),
    "compose: no configuration": lambda f: f.compose_sidecar()["volumes"].pop(0),
    "compose: too little memory": lambda f: f.compose_sidecar().update(mem_limit="64m"),
    "compose: a hasty kill": lambda f: f.compose_sidecar().update(stop_grace_period="10s"),
    "compose: a check by curl": lambda f: f.compose_sidecar()["healthcheck"].update(test=["CMD", "curl", "x"]),
    "compose: a check by a shell": lambda f: f.compose_sidecar()["healthcheck"]["test"].__setitem__(0, "CMD-SHELL"),
    "compose: a check elsewhere": lambda f: f.compose_sidecar()["healthcheck"]["test"].__setitem__(5, "/x"),
    "compose: published to all": lambda f: f.compose_sidecar().update(ports=["7000:7000"]),
    "compose: another port": lambda f: f.compose_sidecar().update(ports=["127.0.0.1:7000:7009"]),
    "compose: a server is missing": lambda f: f.compose["services"].pop("redis-b"),
    "compose: no persistence": lambda f: f.compose["services"]["redis-a"].update(command=["redis-server"]),
    "compose: a back door": lambda f: f.compose["services"]["redis-a"].update(ports=["6379:6379"]),
    "compose: no data volume": lambda f: f.compose["services"]["redis-b"].pop("volumes"),
}


class Manifests(unittest.TestCase):
    def test_the_files_agree(self) -> None:
        self.assertEqual(faults(Files()), [])

    def test_what_is_broken_is_noticed(self) -> None:
        for name, damage in BREAKS.items():
            with self.subTest(name):
                files = copy.deepcopy(Files())
                damage(files)
                self.assertNotEqual(faults(files), [])

    @unittest.skipUnless(PROGRAM, "no program was given")
    def test_the_program_reads_the_configurations(self) -> None:
        files = Files()
        texts = {"Kubernetes": files.config_map["data"]["foretoken.toml"], "compose": files.compose_config()}
        # Its servers can't be reached from here (1); one that it does not understand is a fault of use (64).
        wanted = {name: (text, 1) for name, text in texts.items()}
        wanted |= {f"{name}, misspelt": (text.replace("writers", "writer"), 64) for name, text in texts.items()}
        for name, (text, status) in wanted.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                file = pathlib.Path(directory, "foretoken.toml")
                file.write_text(text)
                ended = subprocess.run(
                    [PROGRAM, "check", "--config", str(file)], capture_output=True, text=True, timeout=120, check=False
                )
                self.assertEqual(ended.returncode, status, ended.stderr + ended.stdout)


if __name__ == "__main__":
    unittest.main()
