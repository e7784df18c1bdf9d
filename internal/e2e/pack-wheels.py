"""Make wheels (PEP 427) of a package and what it needs, as a virtual environment has them: pack-wheels.py DIRECTORY PACKAGE.

The lab has no way out, and its packages come from real wheels. From their records (RECORD), these can be made again.
"""

import base64
import hashlib
import importlib.metadata
import os
import pathlib
import re
import sys
import sysconfig
import zipfile

prefix = pathlib.Path(sys.prefix)
site = pathlib.Path(sysconfig.get_paths()["purelib"])
out = pathlib.Path(sys.argv[1])


def pack(dist):
    info = next(str(f.parent) for f in dist.files if f.name == "RECORD")
    tags = [line.split(": ")[1] for line in (site / info / "WHEEL").read_text().splitlines() if line.startswith("Tag: ")]
    name = info.removesuffix(".dist-info")
    # A tag that stands for several is compressed: each of its three parts has the sum of theirs.
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*(t.split("-") for t in tags)))
    programs = {e.name for e in dist.entry_points if e.group in ("console_scripts", "gui_scripts")}
    record = []
    with zipfile.ZipFile(out / f"{name}-{tag}.whl", "w", zipfile.ZIP_STORED) as wheel:
        for file in dist.files:
            path = pathlib.Path(os.path.normpath(site / file))
            inside = str(file)
            if "__pycache__" in file.parts or str(file.parent) == info and file.name in ("RECORD", "INSTALLER", "REQUESTED"):
                continue
            if not path.is_relative_to(site):
                where = path.relative_to(prefix)
                if where.parts[0] == "bin":
                    if where.name in programs:
                        continue  # pip writes these
                    inside = f"{name}.data/scripts/{where.name}"
                else:
                    inside = f"{name}.data/data/{where}"
            text = path.read_bytes()
            wheel.writestr(inside, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
            record.append(f'"{inside}",sha256={digest},{len(text)}\n')
        wheel.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")


out.mkdir(exist_ok=True)
wanted, seen = [sys.argv[2]], set()
while wanted:
    name = re.sub("[-_.]+", "-", wanted.pop()).lower()
    if name in seen:
        continue
    seen.add(name)
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        continue  # another Python or system needs it
    pack(dist)
    wanted += [re.match("[A-Za-z0-9._-]+", r)[0] for r in dist.requires or []]
