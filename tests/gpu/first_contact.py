"""Runs each check of the GPU with a time limit and writes result.json, result.txt and a log a check.

    first_contact.py --bundle DIR | --build BUILD_FOLDER [--nccl LIBNCCL]  [--output DIR]

Each check has a limit, and all together ten minutes: what comes after is "not run". So are checks that need what is not there
(compute-sanitizer, fastai in Python), with the reason. Exit code 0: all others have passed; 1: one failed or timed out, or there is
no GPU.
"""
import argparse
import ctypes
import dataclasses
import datetime
import importlib.util
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEN_MINUTES = 600
LOSS_TOLERANCE = 0.02  # between precisions, of the loss
# Of the caller's environment: they would choose other tests, another device, other kernels.
NOT_OURS = re.compile(r"^(ULMFIT_TEST_|GTEST_|OMP_|GOMP_|CUBLAS_WORKSPACE_CONFIG$|ULMFIT_GPU_KERNELS$|NCCL_MULTI_RANK_GPU_ENABLE$)")
OPERATORS = ", libtorch's kernels alone"
GRAPH = ", as a CUDA graph"
GPU_TESTS = 27  # of gpu_test
PAPER = {"vocab": 33278, "streams": 64, "bptt": 70, "embedding": 400, "hidden": 1152}


@dataclasses.dataclass
class Check:
    name: str
    limit: int  # seconds
    command: list
    needs: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    read: object = None  # figures, a dict, of the standard output; raises on what is wrong


@dataclasses.dataclass
class Outcome:
    status: str  # passed, failed, timed out, not run
    reason: str = ""
    seconds: float = 0
    figures: dict = dataclasses.field(default_factory=dict)


class Wrong(Exception):
    pass


def tests_passed(expected=0):
    """Of GoogleTest, where one that was skipped has shown nothing; `expected` tests, or any number."""
    def read(output):
        passed = re.search(r"\[  PASSED  \] (\d+) test", output)
        skipped = re.search(r"\[  SKIPPED \] (\d+) test", output)
        ran = int(passed[1]) if passed else 0
        if skipped:
            raise Wrong(f"{skipped[1]} tests skipped")
        if ran == 0 or expected and ran != expected:
            raise Wrong(f"{ran} tests ran, expected {expected or 'some'}")
        return {"passed": ran}
    return read


def tests_listed(output):
    count = len(re.findall(r"^  \w", output, re.MULTILINE))
    if count == 0:
        raise Wrong("no test is listed")
    return {"tests": count}


def all_found(output):
    missing = sorted(set(re.findall(r"(\S+) => not found", output)))
    if missing:
        raise Wrong("not found: " + ", ".join(missing))
    return {"libraries": len(set(re.findall(r"(\S+) => /", output)))}


def benchmark(*keys):
    """The last JSON line, of a benchmark that ran on a GPU; these keys of it, as far as they are there."""
    def read(output):
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if not lines:
            raise Wrong("no JSON line")
        line = json.loads(lines[-1])
        for key in ("tokens_per_s", "loss"):
            if not isinstance(line.get(key), (int, float)) or not math.isfinite(line[key]):
                raise Wrong(f"{key} is {line.get(key)}")
        if not line.get("gpu"):
            raise Wrong("it did not run on a GPU")
        return {key: line[key] for key in keys if key in line}
    return read


def no_errors_of_memory(expected):
    def read(output):
        summary = re.search(r"ERROR SUMMARY: (\d+) error", output)
        if not summary:
            raise Wrong("compute-sanitizer gave no summary")
        if summary[1] != "0":
            raise Wrong(f"{summary[1]} errors")
        return {"errors": 0, **tests_passed(expected)(output)}
    return read


def same_bits_again(output):
    found = re.search(r"^resumed at step (\w+): (\w+) bits$", output, re.MULTILINE)
    if not found:
        raise Wrong("it did not come to its end")
    if found[1] == "none":
        raise Wrong("started again it did not go on from a checkpoint")
    if found[2] != "same":
        raise Wrong(f"gone on from step {found[1]} it has other bits than uninterrupted")
    return {"resumed_at_step": int(found[1])}


def checks(programs, fastai_peer, work):
    """All checks, in order; `programs` has the path of each program by name, `work` is a folder for what they write."""
    ulmfit, tests, ranks_test = programs["ulmfit"], programs["gpu_test"], programs["gpu_ranks_test"]
    one_thread = {"OMP_NUM_THREADS": "1"}

    def on_ranks(ranks, *arguments):
        return [programs["mpirun"], "--oversubscribe", "--bind-to", "none", "-n", ranks, ranks_test, f"--ranks={ranks}", *arguments]

    yield Check("libraries", 30, ["ldd", ulmfit, tests, ranks_test, programs["mpirun"]], read=all_found)
    yield Check("version", 60, [ulmfit, "--version"])  # loads libtorch for the first time
    yield Check("tests listed", 30, [tests, "--gtest_list_tests"], read=tests_listed)
    # Proves launcher and libraries, not the GPU.
    yield Check("2 ranks on CPUs", 30, on_ranks(2), environment=one_thread, read=tests_passed())
    yield Check("tests", 90, [tests], ("gpu",), read=tests_passed(GPU_TESTS))
    yield Check("tests, other order", 60, [tests, "--gtest_shuffle", "--gtest_random_seed=7"], ("gpu",), read=tests_passed(GPU_TESTS))
    yield Check("reproducible, :16:8", 30, [tests, "--gtest_filter=*SameBits*"], ("gpu",),
                {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, tests_passed(1))
    yield Check("resumed with --reproducible: same bits", 60,
                [Path(__file__).resolve().parent / "resumed", ulmfit, work / "resumed", "--device=cuda",
                 "--model.embedding=256", "--model.hidden=512"], ("gpu",), read=same_bits_again)
    for ranks in (1, 2, 4):
        yield Check(f"NCCL, {ranks} ranks" if ranks > 1 else "NCCL, 1 rank", 60, on_ranks(ranks, "--device=cuda"),
                    ("gpu", f"NCCL for {ranks}"), {"NCCL_MULTI_RANK_GPU_ENABLE": "1", **one_thread}, tests_passed())
    yield Check("sanitizer, one step", 120,
                ["compute-sanitizer", "--tool", "memcheck", "--report-api-errors", "no", "--error-exitcode", "9", tests,
                 "--gtest_filter=GpuStep.OfALanguageModel*:GpuStep.OfAClassifier*"],
                ("gpu", "compute-sanitizer"), read=no_errors_of_memory(2))
    figures = benchmark("gpu", "tokens_per_s", "tokens_per_s_lowest", "tokens_per_s_highest", "plain_tokens_per_s", "over_plain", "loss",
                        "plain_loss", "share_of_peak", "product_peak_gflops", "peak_memory_mb", "gpu_peak_memory_mb", "phases",
                        "outside_kernels")
    for vocabulary, words in ((PAPER["vocab"], "33k"), (267735, "267k")):
        for streams in (64, 256):
            for precision in ("fp32", "tf32", "bf16"):
                yield Check(f"bench lm {precision}, {streams} streams, {words} words", 45,
                            [ulmfit, "bench", "lm", "--device=cuda", f"--precision={precision}", f"--vocab={vocabulary}",
                             f"--streams={streams}", "--warmup=8", "--blocks=3", "--block=8", "--profile=3"],
                            ("gpu",), read=figures)
    for variant, options, environment in ((OPERATORS, [], {"ULMFIT_GPU_KERNELS": "0"}), (GRAPH, ["--train.cuda-graph"], {})):
        yield Check("bench lm bf16, 64 streams, 33k words" + variant, 45,
                    [ulmfit, "bench", "lm", "--device=cuda", "--precision=bf16", f"--vocab={PAPER['vocab']}", "--streams=64", "--warmup=8",
                     "--blocks=3", "--block=8", "--profile=3", *options],
                    ("gpu",), environment, figures)
    for precision in ("fp32", "bf16"):  # apart: what the plain loop takes is no memory of ours
        yield Check(f"beside the plain loop, {precision}, 64 streams, 33k words", 45,
                    [ulmfit, "bench", "lm", "--plain", "--device=cuda", f"--precision={precision}", "--warmup=8", "--blocks=3", "--block=8",
                     "--profile=0"],
                    ("gpu",), read=figures)
    for streams in (64, 256):
        yield Check(f"fastai to_fp16, {streams} streams, 33k words", 60,
                    [sys.executable, fastai_peer, "lm", "--fp16", "--threads=4", "--seed=1", "--warmup=3", "--steps=12",
                     *(f"--{key}={value}" for key, value in {**PAPER, "streams": streams}.items())],
                    ("gpu", "fastai"), read=benchmark("gpu", "tokens_per_s", "loss", "gpu_peak_memory_mb"))


def losses_agree(rows):
    """Of each size, tf32 and bf16 with fp32, with libtorch's kernels, as a CUDA graph, and with the plain loop."""
    losses = {row["name"]: row["figures"]["loss"] for row in rows if row["status"] == "passed" and "loss" in row["figures"]}
    pairs = [(name, loss, losses[name.replace(precision, "fp32", 1)]) for name, loss in losses.items() for precision in ("tf32", "bf16")
             if precision in name and name.replace(precision, "fp32", 1) in losses]
    pairs += [(name, loss, losses[name.removesuffix(variant)]) for name, loss in losses.items() for variant in (OPERATORS, GRAPH)
              if name.endswith(variant) and name.removesuffix(variant) in losses]
    pairs += [(row["name"], row["figures"]["loss"], row["figures"]["plain_loss"]) for row in rows if "plain_loss" in row["figures"]]
    if not pairs:
        return Outcome("not run", "no two benchmarks to compare")
    apart = [f"{name}: {loss:.4f} beside {other:.4f}" for name, loss, other in pairs if abs(loss - other) > LOSS_TOLERANCE * abs(other)]
    return Outcome("failed", "; ".join(apart)) if apart else Outcome("passed", figures={"pairs": len(pairs)})


def missing(nccl):
    """What a check may need and is not here, with the reason. `nccl`: the library that the programs will take."""
    reasons = {}
    gpus = 0
    if not shutil.which("nvidia-smi"):
        reasons["gpu"] = "no NVIDIA GPU: nvidia-smi is missing"
    else:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
        gpus = len(re.findall(r"^GPU \d", listing.stdout, re.MULTILINE)) if listing.returncode == 0 else 0
        if gpus == 0:
            reasons["gpu"] = "no NVIDIA GPU: nvidia-smi lists none"
    version = nccl_version(nccl)
    for ranks in (1, 2, 4):
        if ranks > gpus > 0 and version < 23000:
            reasons[f"NCCL for {ranks}"] = f"NCCL {version} lets no {ranks} ranks share {gpus} GPUs; --nccl names one of 2.30 or newer"
    if not shutil.which("compute-sanitizer"):
        reasons["compute-sanitizer"] = "compute-sanitizer is not on the PATH"
    if importlib.util.find_spec("fastai") is None:
        reasons["fastai"] = f"{sys.executable} has no fastai"
    return reasons


def nccl_version(library):
    """22809 for 2.28.9; 0 where it cannot be asked."""
    version = ctypes.c_int(0)
    try:
        ctypes.CDLL(str(library)).ncclGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        pass
    return version.value


def end_session(leader):
    """Kills all processes of the session: mpirun gives each rank a process group of its own."""
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text(encoding="utf8").rpartition(")")[2].split()
            if entry.name.isdigit() and int(fields[3]) == leader:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError, ValueError):
            pass


def run(check, absent, environment, log, most=math.inf):
    """`most`: seconds that are left for all."""
    if most <= 0:
        return Outcome("not run", "the ten minutes are over")
    for need in check.needs:
        if need in absent:
            return Outcome("not run", absent[need])
    start = time.monotonic()
    with open(log, "w+", encoding="utf8", errors="replace") as output:
        try:
            process = subprocess.Popen([str(part) for part in check.command], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, env={**environment, **check.environment}, start_new_session=True)
        except OSError as error:
            return Outcome("failed", f"{check.command[0]}: {error.strerror}")
        try:
            code = process.wait(min(check.limit, most))
        except subprocess.TimeoutExpired:
            return Outcome("timed out", f"after {min(check.limit, most):.0f} s; see {log.name}", min(check.limit, most))
        finally:
            end_session(process.pid)
            process.wait()
        outcome = Outcome("passed", seconds=time.monotonic() - start)
        output.seek(0)
        text = output.read()
    try:
        if check.read:
            outcome.figures = check.read(text)
    except (Wrong, ValueError, KeyError, TypeError) as error:
        outcome.status, outcome.reason = "failed", f"{error}; see {log.name}"
    if code != 0:
        outcome.status, outcome.reason = "failed", f"exit code {code}; see {log.name}"
    return outcome


def told(figures):
    """The few figures of a row of the table."""
    parts = []
    for key, value in figures.items():
        if not isinstance(value, (int, float)):
            continue
        if key in ("tokens_per_s", "plain_tokens_per_s", "gpu_peak_memory_mb", "passed", "tests", "libraries", "errors",
                   "pairs", "resumed_at_step"):
            parts.append(f"{key.replace('_per_s', '/s').replace('_', ' ')} {value:,.0f}")
        elif key in ("over_plain", "share_of_peak"):
            parts.append(f"{key.replace('_', ' ')} {value:.3g}")
    return ", ".join(parts)


def table(result):
    rows = [("check", "status", "s", "limit", "")]
    for row in result["checks"]:
        rows.append((row["name"], row["status"], f"{row['seconds']:.0f}", str(row["limit"]), row["reason"] or told(row["figures"])))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{name}: {value}" for name, value in result["machine"].items()] + [""]
    for row in rows:
        name, status, seconds, limit, rest = row
        lines.append(f"{name:<{widths[0]}}  {status:<{widths[1]}}  {seconds:>{widths[2]}}  {limit:>{widths[3]}}  {rest}".rstrip())
    return "\n".join(lines) + "\n"


def torch_folder():
    if os.environ.get("ULMFIT_TORCH_DIR"):
        return Path(os.environ["ULMFIT_TORCH_DIR"])
    spec = importlib.util.find_spec("torch")
    return Path(spec.origin).parent if spec and spec.origin else None


def of_bundle(bundle, work):
    """Programs by name and the environment that they need."""
    root = work / "programs"
    root.mkdir()
    subprocess.run(["tar", "--extract", f"--file={bundle / 'programs.tar.xz'}", f"--directory={root}"], check=True)
    torch = torch_folder()
    if torch is None or not (torch / "lib/libtorch_cpu.so").exists():
        sys.exit("first_contact: no torch: this Python has none, and ULMFIT_TORCH_DIR does not name a folder with lib/libtorch_cpu.so")
    paths = [root / "nccl", torch / "lib", *sorted(torch.parent.glob("nvidia/*/lib")), root / "lib"]
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, paths)), "OPAL_PREFIX": str(root), "OPAL_PKGDATADIR": str(root / "share/openmpi"),
                   "OMPI_MCA_mca_base_component_path": str(root / "lib/openmpi"), "OMPI_MCA_plm": "isolated",  # one machine, without ssh
                   "PMIX_MCA_mca_base_component_path": str(root / "lib/pmix")}
    return {file.name: file for file in (root / "bin").iterdir()}, environment, bundle / "fastai_peer.py", root / "nccl/libnccl.so.2"


def of_build(build, nccl):
    programs = {"ulmfit": build / "ulmfit", "gpu_test": build / "tests/gpu_test",
                "gpu_ranks_test": build / "tests/distributed/gpu_ranks_test", "mpirun": Path(shutil.which("mpirun") or "mpirun")}
    environment = {"LD_LIBRARY_PATH": str(Path(nccl).resolve().parent)} if nccl else {}
    if not nccl:  # what the linker has found
        needed = subprocess.run(["ldd", programs["gpu_ranks_test"]], capture_output=True, text=True).stdout
        nccl = (re.findall(r"libnccl\.so\.2 => (/\S+)", needed) or ["libnccl.so.2"])[0]
    return programs, environment, Path(__file__).resolve().parent.parent / "bench/fastai_peer.py", nccl


def machine():
    facts = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "system": platform.platform(), "cores": len(os.sched_getaffinity(0))}
    with open("/proc/cpuinfo", encoding="utf8") as info:
        facts["cpu"] = next((line.split(": ")[1].strip() for line in info if line.startswith("model name")), "unknown")
    if shutil.which("nvidia-smi"):
        query = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], capture_output=True,
                               text=True)
        facts["gpu"] = query.stdout.strip() if query.returncode == 0 else "none"
    return facts


def main():
    start = time.monotonic()
    parser = argparse.ArgumentParser(description="Runs all checks of the GPU.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bundle", type=Path)
    source.add_argument("--build", type=Path)
    parser.add_argument("--nccl", default="")
    parser.add_argument("--output", type=Path, default=Path("gpu-results"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not NOT_OURS.match(name)}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as work:
        if options.bundle:
            programs, own, peer, nccl = of_bundle(options.bundle.resolve(), Path(work))
        else:
            programs, own, peer, nccl = of_build(options.build.resolve(), options.nccl)
        if "LD_LIBRARY_PATH" in own and os.environ.get("LD_LIBRARY_PATH"):
            own["LD_LIBRARY_PATH"] += ":" + os.environ["LD_LIBRARY_PATH"]
        absent = missing(nccl)
        result = {"machine": {**machine(), "nccl": nccl_version(nccl)}, "checks": []}

        def add(name, limit, outcome):
            result["checks"].append({"name": name, "limit": limit, **dataclasses.asdict(outcome)})
            print(f"{outcome.status:9} {outcome.seconds:4.0f} s  {name}  {outcome.reason or told(outcome.figures)}", flush=True)
            # Written after each check: a machine that is taken away leaves what was found so far.
            (options.output / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
            (options.output / "result.txt").write_text(table(result), encoding="utf8")

        for number, check in enumerate(checks(programs, peer, Path(work)), 1):
            of_programs = {} if check.command[0] == sys.executable else own  # Python has libraries of its own
            log = options.output / f"{number:02}-{re.sub('[^a-z0-9]+', '-', check.name.lower())}.log"
            left = TEN_MINUTES - (time.monotonic() - start)
            add(check.name, check.limit, run(check, absent, {**environment, **of_programs}, log, left))
        add("losses agree", 0, losses_agree(result["checks"]))
    print("\n" + table(result), end="")
    sys.exit("gpu" in absent or any(row["status"] in ("failed", "timed out") for row in result["checks"]))


if __name__ == "__main__":
    main()
