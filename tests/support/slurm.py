"""A Slurm cluster of two nodes on this machine, for tests: munged, slurmctld and two slurmd, everything below one folder.

Needs Debian's packages munge, slurmctld, slurmd and slurm-client (launch/setup --dev), but neither systemd nor cgroups, and no
root: the daemons run as who runs the test.
"""
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo", "srun")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

CONFIG = """ClusterName=ulmfit-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={dir}/munge.socket,cred_expire=10
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool-%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd-%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd-%n.log
TmpFS={dir}/tmp-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/linear
SchedulerParameters=sched_interval=5,bf_interval=5
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
ReturnToService=2
KillWait=10
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    def __init__(self, folder):
        """Starts the daemons; RuntimeError, with what to do or what they logged, if they do not come up."""
        self.dir = Path(folder)
        self.daemons = []
        missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
        if missing:
            raise RuntimeError(f"cannot start Slurm: {', '.join(missing)} not found; run launch/setup --dev, or "
                               "apt-get install munge slurmctld slurmd slurm-client")
        # What an outer Slurm job says about itself must not reach this cluster.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_", "PMIX_"))}
        self.environment |= {"PATH": PATH, "SLURM_CONF": str(self.dir / "slurm.conf")}
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        for name in ("state", "spool-n1", "spool-n2", "tmp-n1", "tmp-n2"):
            (self.dir / name).mkdir(parents=True)
        self.dir.chmod(0o755)  # munged wants its socket reachable, and nobody but us able to write there
        key = self.dir / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        (self.dir / "slurm.conf").write_text(CONFIG.format(dir=self.dir, host=socket.gethostname().split(".")[0],
                                                           user=getpass.getuser(), ports=free_ports()))
        self._daemon("munged", "--foreground", "--force", f"--socket={self.dir}/munge.socket", f"--key-file={key}",
                     f"--pid-file={self.dir}/munged.pid", f"--log-file={self.dir}/munged.log",
                     f"--seed-file={self.dir}/munged.seed")
        self._wait("munged's socket", (self.dir / "munge.socket").exists)
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D", "-N", "n1")
        self._daemon("slurmd", "-D", "-N", "n2")
        self._wait("two idle nodes", lambda: self.run("sinfo", "-h", "-N", "-o", "%T", check=False).split() == ["idle", "idle"])

    def _daemon(self, *command):
        # They end with the test, even if it is killed.
        with open(self.dir / f"{command[0]}.out", "ab") as out:
            self.daemons.append(subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], env=self.environment, stdout=out,
                                                 stderr=out, cwd=self.dir))

    def _wait(self, what, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            dead = [d.args[3] for d in self.daemons if d.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}\n"
                               for log in sorted(self.dir.glob("*.log")) + sorted(self.dir.glob("*.out")))
                raise RuntimeError(f"cannot start Slurm: no {what} after {seconds} s; ended: {dead or 'none'}\n{logs}")
            time.sleep(0.2)

    def run(self, *command, check=True, cwd=None, **environment):
        """A Slurm command (or a script that calls some); what it printed."""
        result = subprocess.run(list(map(str, command)), env={**self.environment, **environment}, capture_output=True, text=True,
                                timeout=120, cwd=cwd or self.dir)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout

    def job(self, number):
        """What scontrol knows of a job: JobState, Restarts, ExitCode ..."""
        text = self.run("scontrol", "show", "job", number, "--oneliner")
        return dict(field.split("=", 1) for field in text.split() if "=" in field)

    def wait_for_job(self, number, states=("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL"), seconds=900):
        end = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] not in states:
            if time.monotonic() > end:
                raise RuntimeError(f"job {number} is {job['JobState']} ({job.get('Reason')}) after {seconds} s, not in {states}")
            time.sleep(0.3)
        return job

    def stop(self):
        """Ends all jobs, then the daemons, then whatever of them is left."""
        if all(d.poll() is None for d in self.daemons) and len(self.daemons) == 4:
            self.run("scancel", "--full", f"--user={getpass.getuser()}", check=False)
            end = time.monotonic() + 20
            while self.run("squeue", "-h", check=False).strip() and time.monotonic() < end:
                time.sleep(0.3)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []
        for pid in self.left_over():
            os.kill(pid, signal.SIGKILL)

    def left_over(self):
        """Processes (job steps) that know this cluster."""
        mark = f"SLURM_CONF={self.dir}/slurm.conf".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has ended, or is another user's
                pass
        return found


def free_ports():
    """Three free ports, the last two neighbours."""
    for _ in range(100):
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            try:
                three.bind(("127.0.0.1", two.getsockname()[1] + 1))
            except (OSError, OverflowError):
                continue
            return [s.getsockname()[1] for s in (one, two, three)]
    raise RuntimeError("cannot start Slurm: no free ports on 127.0.0.1")
