#!/usr/bin/python3
"""Reads an environment definition file as CSCS's Container Engine does, for the plugin of the lab (spank.c).

The variable CSCS_LAB_EDF is what --environment was given. The lines that it prints: "image DIRECTORY",
"mount SOURCE<tab>TARGET", "workdir DIRECTORY", "env NAME=VALUE". An image is a directory, and its
etc/environment holds the image's variables.
"""

import os
import re
import sys
import tomllib


def find(name):
    """The path of an EDF: a path as it is, or a name without .toml that is searched along EDF_PATH."""
    if "/" in name:
        paths = [name]
    else:
        dirs = os.environ.get("EDF_PATH") or os.path.join(os.environ.get("HOME", ""), ".edf")
        paths = [os.path.join(d, name + ".toml") for d in dirs.split(":")]
    for path in paths:
        if os.access(path, os.R_OK):
            return path
    sys.exit(f"no EDF '{name}': {', '.join(paths)} cannot be read")


def expand(value):
    """${NAME} stands for a variable of the host."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], ""), value)
    if isinstance(value, list):
        return [expand(v) for v in value]
    if isinstance(value, dict):
        return {k: expand(v) for k, v in value.items()}
    return value


def load(name, depth=0):
    """The EDF with what it inherits: mounts and env are added to, the rest is replaced."""
    if depth > 10:
        sys.exit(f"EDF '{name}': more than 10 levels of base_environment")
    path = find(name)
    try:
        with open(path, "rb") as f:
            own = expand(tomllib.load(f))
    except tomllib.TOMLDecodeError as e:
        sys.exit(f"EDF {path}: {e}")
    bases = own.pop("base_environment", [])
    edf = {"mounts": [], "env": {}}
    for one in [load(b, depth + 1) for b in ([bases] if isinstance(bases, str) else bases) if b] + [own]:
        mounts, env = edf["mounts"] + one.pop("mounts", []), edf["env"] | one.pop("env", {})
        edf |= one | {"mounts": mounts, "env": env}
    return edf


def main():
    edf = load(os.environ["CSCS_LAB_EDF"])
    image = edf.get("image", "")
    if not os.path.isdir(image):
        sys.exit(f"the image '{image}' does not exist")
    print("image", image)
    for mount in edf["mounts"]:
        source, target, *_ = mount.split(":") + [mount]
        print(f"mount {source}\t{target}")
    if edf.get("workdir"):
        print("workdir", edf["workdir"])
    try:
        with open(os.path.join(image, "etc/environment")) as f:
            for line in f.read().splitlines():
                print("env", line)
    except FileNotFoundError:
        pass
    for name, value in edf["env"].items():
        print(f"env {name}={value}")


main()
