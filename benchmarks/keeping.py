"""What was measured last, kept beside the page that tells it: some rows can be measured again without the others."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from benchmarks.rows import Result, Results, Sample

FILE = Path(__file__).parents[1] / "docs/performance.json"


def load(machine: str) -> dict[str, Result]:
    """What was measured on this machine; nothing where the last was another one."""
    if not FILE.exists():
        return {}
    kept = json.loads(FILE.read_text())
    if kept["machine"] != machine:
        return {}
    return {
        name: Result(row["floor"], {who: [Sample(**one) for one in many] for who, many in row["samples"].items()})
        for name, row in kept["rows"].items()
    }


def save(machine: str, results: Results) -> None:
    """Keep all of it."""
    rows = {name: json.loads(json.dumps(asdict(result)), parse_float=_rounded) for name, result in results.items()}
    FILE.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def this_machine() -> str:
    """What it is, and which programs were measured on it."""
    cpu = re.search(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{os.cpu_count()} × {cpu[1] if cpu else platform.machine()}, {memory:.0f} GiB"
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    programs = [
        f"Python {platform.python_version()}",
        _said(r"Packer v\S+", "packer", "version").replace(" v", " "),
        _said(r"OpenSSH_[^ ,]+", "ssh", "-V").replace("_", " "),
        _said(r"rsync +version \S+", "rsync", "--version").replace("version ", ""),
    ]
    return f"{hardware}; {system}, Linux {platform.release()}; {', '.join(' '.join(one.split()) for one in programs)}"


def _said(pattern: str, *command: str) -> str:
    if shutil.which(command[0]) is None:
        return f"no {command[0]}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found else command[0]


def _rounded(number: str) -> float:
    return round(float(number), 4)
