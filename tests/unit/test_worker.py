import subprocess
import sys

import pytest

from credit_scoring.serving.worker import bento_name, worker_count


@pytest.mark.parametrize(("given", "count"), [(None, 1), ("", 1), ("1", 1), ("4", 4), ("256", 256)])
def test_the_number_of_workers_is_that_of_the_environment_or_one(monkeypatch, given, count):
    monkeypatch.delenv("CREDIT_WORKERS", raising=False)
    if given is not None:
        monkeypatch.setenv("CREDIT_WORKERS", given)
    assert worker_count() == count


@pytest.mark.parametrize("given", ["0", "257", "-1", "two", "1.5", "²"])
def test_what_is_no_number_of_workers_ends_the_start_with_one_line(monkeypatch, given):
    monkeypatch.setenv("CREDIT_WORKERS", given)
    with pytest.raises(SystemExit, match=r"CREDIT_WORKERS is .* Set it to 1 to 256\."):
        worker_count()


def test_what_is_not_staged_ends_the_start_with_one_line(tmp_path):
    with pytest.raises(SystemExit, match="Run 'kedro run' first"):
        bento_name(tmp_path)


WORKER = """
import os, sys, time
from credit_scoring.serving.worker import end_with
end_with(int(sys.argv[1]), look_every_s=0.05, grace_s=float(sys.argv[2]))
print("started", flush=True)
{meanwhile}
time.sleep(60)
"""
SERVER = """
import os, subprocess, sys, time
worker = [sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]]
print(subprocess.Popen(worker, start_new_session=True, stdout=subprocess.PIPE).stdout.readline(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "meanwhile",
    ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"],
    ids=["that obeys", "that hangs"],
)
def test_a_worker_ends_when_its_server_is_killed(meanwhile):
    command = [sys.executable, "-c", SERVER, WORKER.format(meanwhile=meanwhile), "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert b"started" in server.stdout.readline()
        server.kill()
        # The worker holds its server's stderr: this ends when both are gone.
        server.communicate(timeout=20)


def test_a_worker_whose_server_was_gone_before_it_looked_ends_too():
    script = WORKER.format(meanwhile="")
    gone = 2**22 + 1  # above every process id
    ended = subprocess.run([sys.executable, "-c", script, str(gone), "1"], timeout=20, check=False)
    assert ended.returncode == -15
