#!/usr/bin/env python3
"""Checks the architecture: which room of the source tree may include which, and which outside library belongs to one room.

    tests/rules/check_layers.py ROOT

Prints each violation and exits 1 if there is one.
"""
import fnmatch
import re
import sys
from pathlib import Path

# Room -> rooms that it may include, itself aside. Dependencies point one way.
MAY_USE = {
    "base": [],
    "config": ["base"],
    "text": ["base"],
    "data": ["text", "base"],
    "reports": ["data", "base"],
    "comm": ["base"],
    "optim": ["base"],
    "kernels": ["base"],
    "model": ["kernels", "base"],
    "interop": ["base"],
    "train": ["reports", "data", "comm", "model", "optim", "interop", "text", "base"],
    "data_prep": ["data", "text", "config", "base"],
    "stages": ["data_prep", "train", "reports", "data", "comm", "model", "optim", "interop", "text", "config", "base"],
    "perf": ["stages", "train", "reports", "data", "comm", "model", "optim", "text", "config", "base"],
    "study": ["perf", "stages", "data_prep", "reports", "comm", "model", "text", "config", "base"],
    "commands": ["study", "perf", "stages", "data_prep", "train", "reports", "data", "comm", "model", "optim", "interop", "text", "config", "base"],
}
# Single headers that a room may use of one that it otherwise doesn't see.
ALSO = {"model": ["optim/param_groups.h"]}

# Outside header (as a pattern) -> folders that may include it.
HOME = {
    r"mpi\.h": ["src/comm"],
    r"nccl\.h": ["src/comm/nccl"],
    r"(hdf5|hdf5_hl|H5\w+)\.h": ["src/data", "tests/support"],
    r"boost/program_options.*": ["src/config"],
    r"spdlog/.*": ["src/base"],
    r"unicode/.*": ["src/text", "tests/unit/text"],
    r"sentencepiece.*": ["src/text", "tests/support"],
    r"libxml/.*": ["data_prep"],
    r"(torch|ATen|c10)/.*": ["src/comm", "src/optim", "src/kernels", "src/model", "src/interop", "src/train", "src/stages", "src/perf",
                             "src/study", "src/commands", "src/cmake", "tests"],
}

TOP_LEVEL = {"CMakeLists.txt", "README.md", "LICENSE", "CHANGELOG.md", "src", "launch", "data_prep", "configs", "cluster", "tests", ".ci", ".clang-format",
             ".clang-tidy", ".gitignore", ".git"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def room_of(path):
    """Name of the room that a path below the root lies in; empty outside the rooms."""
    parts = path.parts
    if parts[0] == "data_prep":
        return "data_prep"
    return parts[1] if parts[0] == "src" and len(parts) > 2 and parts[1] in MAY_USE else ""


def check_include(path, header):
    """What is wrong with `path` including `header`, or an empty text."""
    for pattern, homes in HOME.items():
        if re.fullmatch(pattern, header) and not any(path.is_relative_to(home) for home in homes):
            return f"<{header}> belongs to {' and '.join(homes)}"
    room, other = room_of(path), header.split("/")[0]
    if room and other in MAY_USE and other != room and other not in MAY_USE[room] and header not in ALSO.get(room, []):
        return f"room {room} may include {', '.join(MAY_USE[room]) or 'no other room'}, not {header}"
    if room and other == "tests":
        return f"room {room} may not include the tests' {header}"
    return ""


def check_rooms(root):
    """Folders below src that the table above doesn't know."""
    return [f"src/{folder.name}: a room that {Path(__file__).name} doesn't know" for folder in sorted((root / "src").iterdir())
            if folder.is_dir() and folder.name not in MAY_USE and folder.name != "cmake"]


def check_sources(root):
    problems = []
    for source in sorted(root.glob("src/**/*")) + sorted(root.glob("data_prep/**/*")) + sorted(root.glob("tests/**/*")):
        if source.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        text = source.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            problem = check_include(source.relative_to(root), match.group(2))
            if problem:
                line = text.count("\n", 0, match.start(2)) + 1
                problems.append(f"{source.relative_to(root)}:{line}: {problem}")
    return problems


def check_top_level(root):
    ignored = []
    if (root / ".gitignore").exists():
        ignored = [line.strip("/") for line in (root / ".gitignore").read_text(encoding="utf-8").split()]
    return [f"{entry.name}: unexpected at the top level" for entry in sorted(root.iterdir())
            if entry.name not in TOP_LEVEL and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored)]


def check(root):
    return check_top_level(root) + check_rooms(root) + check_sources(root)


if __name__ == "__main__":
    found = check(Path(sys.argv[1]).resolve())
    print("\n".join(found) or "the architecture's rules hold")
    sys.exit(1 if found else 0)
