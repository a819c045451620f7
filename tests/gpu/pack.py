"""Packs what tests/gpu/run needs on a machine that has a GPU, torch and Python, but no network and none of the other libraries.

    pack.py --build BUILD_FOLDER --output DIR [--arch 90] [--nccl LIBNCCL]

DIR then holds `run`, the scripts that it runs and programs.tar.xz: bin/ (programs and mpirun), lib/ (their libraries but
for glibc, those of g++ and those that come with torch), lib/openmpi and lib/pmix (Open MPI's plugins), nccl/.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import slim_nccl

HERE = Path(__file__).resolve().parent
LIMIT = 64 << 20
TORCH = re.compile(r"libtorch_cpu\.so => (/\S+)")
NCCL = "nvidia-nccl-cu13==2.32.3"
PROGRAMS = ["ulmfit", "tests/gpu_test", "tests/distributed/gpu_ranks_test"]
# Every system has them, as new as Debian 12's or newer; libgomp comes with torch, NCCL is packed apart.
OF_THE_SYSTEM = re.compile(r"^(linux-vdso|ld-linux[^.]*|lib(c|m|dl|rt|pthread|util|resolv|stdc\+\+|gcc_s|gomp|nccl|cuda))\.so")


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def libraries(file):
    """Files of the libraries that `file` needs, those aside that are the system's or torch's; ones not found are None by name."""
    found = {}
    for line in run("ldd", file).splitlines():
        match = re.match(r"\s*(\S+) => (not found|/\S+)", line)
        if match and not OF_THE_SYSTEM.match(match[1]):
            found[match[1]] = None if match[2] == "not found" else Path(match[2])
    of_torch = [Path(path).parent for path in TORCH.findall(run("ldd", file))]
    return {name: path for name, path in found.items()
            if path is None or not any(path.is_relative_to(folder) or "nvidia" in path.parts for folder in of_torch)}


def open_mpi_folder(kind):
    line = run("ompi_info", "--path", kind, "--parsable").strip()
    return Path(line.split(":")[-1])


def pmix_plugins():
    """Where libpmix keeps its own, if it is a library apart from Open MPI's."""
    for folder in sorted(Path("/usr/lib").glob("*/pmix*/lib/pmix*")) + sorted(Path("/usr/lib").glob("pmix*")):
        if list(folder.glob("*.so")):
            return folder
    return None


def copy_libraries(needed, folder):
    for name, path in sorted(needed.items()):
        if path is None:
            sys.exit(f"pack: {name} is not found here; is it installed?")
        shutil.copy(path, folder / name)


def copy_plugins(source, target, lib):
    """Plugins whose libraries are packed already: those for networks that one machine does not have stay out."""
    target.mkdir(parents=True)
    for plugin in sorted(source.glob("*.so")):
        if set(libraries(plugin)) <= {file.name for file in lib.iterdir()}:
            shutil.copy(plugin, target)


def fetch_nccl(folder):
    print(f"pack: fetching {NCCL}", file=sys.stderr)
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv/bin/pip", "install", "--disable-pip-version-check", "--no-deps", "--no-compile", "--target", folder / "nccl", NCCL)
    return folder / "nccl/nvidia/nccl/lib/libnccl.so.2"


def pack(build, nccl, arch, output, work):
    root = work / "bundle"
    for folder in ("bin", "lib", "nccl"):
        (root / folder).mkdir(parents=True)
    needed = {}
    for program in [*(build / name for name in PROGRAMS), Path(shutil.which("mpirun")).resolve()]:
        target = root / "bin" / ("mpirun" if program.name in ("orterun", "prterun") else program.name)
        run("strip", "-o", target, program)
        needed.update(libraries(program))
    for plugin in open_mpi_folder("pkglibdir").glob("mca_pmix_ext*.so"):  # without it no mpirun; of a libpmix of its own
        needed.update(libraries(plugin))
    copy_libraries(needed, root / "lib")
    copy_plugins(open_mpi_folder("pkglibdir"), root / "lib/openmpi", root / "lib")
    pmix = pmix_plugins()
    if pmix:
        copy_plugins(pmix, root / "lib/pmix", root / "lib")
    shutil.copytree(open_mpi_folder("pkgdatadir"), root / "share/openmpi", ignore=shutil.ignore_patterns("*.ini"), symlinks=False)
    slim_nccl.slim(nccl or fetch_nccl(work), root / "nccl/libnccl.so.2", arch)

    output.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "--create", f"--directory={root}", f"--file={output / 'programs.tar.xz'}", "--use-compress-program=xz -T0",
                    "."], check=True)
    for file in ("run", "first_contact.py", "resumed"):
        shutil.copy(HERE / file, output)
    shutil.copy(HERE.parent / "bench/fastai_peer.py", output)
    return sum(file.stat().st_size for file in output.iterdir())


def main():
    parser = argparse.ArgumentParser(description="Packs a bundle for a machine with a GPU.")
    parser.add_argument("--build", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--arch", type=int, default=90)
    parser.add_argument("--nccl", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        try:
            size = pack(options.build.resolve(), options.nccl, options.arch, options.output.resolve(), Path(work))
        except (slim_nccl.SlimError, OSError) as error:
            sys.exit(f"pack: {error}")
        except subprocess.CalledProcessError as error:
            sys.exit(f"pack: {' '.join(error.cmd)} failed:\n{error.stderr}")
    if size > LIMIT:
        sys.exit(f"pack: {options.output} has {size / 2**20:.1f} MiB, more than {LIMIT >> 20}")
    print(f"pack: {options.output}, {size / 2**20:.1f} MiB; there: {options.output.name}/run", file=sys.stderr)


if __name__ == "__main__":
    main()
