"""What a measured file names: the machine, and the source of the program."""
import os
import platform
import re
import subprocess
from pathlib import Path


def machine():
    info = Path("/proc/cpuinfo").read_text(encoding="utf8")
    model = re.search(r"^model name\s*:\s*(.*)$", info, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.*)$", info, re.MULTILINE)
    known = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flags and f in flags.group(1).split()]
    return {"cpu": model.group(1).strip() if model else "unknown CPU", "cores": len(os.sched_getaffinity(0)), "instructions": known,
            "kernel": platform.release()}


def file_name(cpu):
    """The part of a result file's name that tells the CPU."""
    return re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")


def commit():
    """That changed the program's source last, a short hash; "unknown" for a source without history."""
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run(["git", "-C", str(root), "log", "-1", "--format=%h", "--", "src", "data_prep", "CMakeLists.txt"], capture_output=True, text=True)
    return told.stdout.strip() or "unknown"
