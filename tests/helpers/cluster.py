"""A real SLURM of one node, from the packages of the system, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
MpiDefault=none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=1
CompleteWait=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE
"""


def missing() -> str | None:
    """Return why there can be no SLURM here, None if there can."""
    if absent := [name for name in NEEDED if shutil.which(name) is None]:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "SLURM's daemons need root"


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """Start munge and SLURM's two daemons and yield the path of the configuration."""
    host = socket.gethostname().split(".")[0]
    path, key = folder / "slurm.conf", folder / "munge.key"
    for name in ("state", "spool"):
        (folder / name).mkdir()
    path.write_text(
        CONFIGURATION.format(folder=folder, host=host, controller=_port(), node=_port())
    )
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    places = [f"--{option}={folder}/munge.{suffix}" for option, suffix in files.items()]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *places],
        ["slurmctld", "-D", "-f", str(path)],
        ["slurmd", "-D", "-f", str(path)],
    ]
    running = list[subprocess.Popen[bytes]]()
    with (folder / "daemons.log").open("w") as log:
        try:
            for command in daemons:
                running.append(subprocess.Popen(command, stdout=log, stderr=log))
                time.sleep(0.3)
            empty(path)
            yield path
        finally:
            _stop(path, running)


def _stop(configuration: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    with contextlib.suppress(TimeoutError):
        empty(configuration)
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(5)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def empty(configuration: Path) -> None:
    """End all jobs and wait until there are none."""
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, check=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        command = ["sinfo", "--noheader", "--format=%T"]
        state = subprocess.run(command, env=environment, capture_output=True, check=False).stdout
        if state.strip() == b"idle":
            return
        time.sleep(0.3)
    raise TimeoutError(configuration.with_name("daemons.log").read_text())


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
