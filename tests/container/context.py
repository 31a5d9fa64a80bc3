"""Compares what .dockerignore lets through with what the repository holds.

    context.py DIRECTORY        DIRECTORY is what the stage `source` of the Dockerfile has copied
"""

import pathlib
import subprocess
import sys

NEEDED = (".ci/rootfs", "Cargo.lock", "Cargo.toml", "benches/", "config/", "models/", "proxy/")


def git(*arguments: str) -> set[str]:
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", *arguments], check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and pathlib.Path(name).exists()}


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    held = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    known = git()
    # What is about to be added belongs to the next commit; a clean clone has none of it.
    draft = git("--others", "--exclude-standard")
    faults = [f"{name} is not let through" for name in known if name.startswith(NEEDED) and name not in held]
    faults += [f"{name} is let through, and git does not know it" for name in held - known - draft]
    # A manifest that names a file which is not there is a fault to cargo, before it compiles anything.
    read = subprocess.run(
        ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"],
        cwd=root, capture_output=True, text=True, check=False,
    )
    if read.returncode != 0:
        faults.append(read.stderr.strip())
    for fault in sorted(faults):
        print(f"container: {fault}", file=sys.stderr)
    return 1 if faults or not held else 0


if __name__ == "__main__":
    sys.exit(main())
