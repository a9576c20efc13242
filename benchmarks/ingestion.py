"""How much memory and time the ingestion pipeline takes for a large CSV file: ``kedro run --pipeline=ingestion``.

The file is made up, with a fixed seed, in a project directory of its own that is removed afterwards. What is told is
the peak of the whole process, Kedro and MLflow included, beside that of the same run on a file of a hundred rows.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from kept import PROJECT, keep

LIMIT_BYTES = 1_000_000_000
DECLARATION = """
name: volume
title: A large made-up file
as_of: {constant: 2020-01-01}
applicants:
  key: id
  columns:
    income: {type: number, min: 0, nullable: true}
    amount: {type: integer, min: 1}
    rate: {type: number}
    age: {type: integer, min: 18, max: 120, protected: true}
    opened: {type: date, nullable: true}
    purpose: {type: category, values: [car, house, school, other]}
    region: {type: category, values: [north, south, east, west]}
    remark: {type: text, nullable: true}
    bad: {type: integer, min: 0, max: 1, after_outcome: true}
outcome: {column: bad, bad: [1], good: [0], window_days: 365}
split: {salt: volume, development: 0.6, holdout: 0.2, stream: 0.2}
policy: {version: "1", approve_from: 520, refer_from: 500, bands: [{name: A, from_points: 300}]}
"""
CATALOG = """
raw_applicants:
  type: credit_scoring.adapters.sources.DelimitedDataset
  filepath: data/1_raw/volume/applicants.csv
"""
HEADER = "id,income,amount,rate,age,opened,purpose,region,remark,bad\n"


@dataclass(frozen=True)
class Measured:
    """One run: size of the file, wall time, and the largest resident memory of its process."""

    file_bytes: int
    rows: int
    seconds: float
    peak_bytes: int


def main() -> None:
    """Print both runs and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    size = int(parser.parse_args().gigabytes * 1e9)
    with tempfile.TemporaryDirectory(prefix="ingestion-benchmark-") as folder:
        project = make_project(Path(folder))
        small, large = measure(project, 10_000), measure(project, size)
    for run in (small, large):
        size_told, peak = f"{run.file_bytes / 1e9:8.3f} GB, {run.rows:>12,} rows", f"{run.peak_bytes / 1e9:.2f} GB"
        print(f"{size_told}: {run.seconds:7.1f} s, peak {peak}")
    print(f"{large.file_bytes / 1e6 / (large.seconds - small.seconds):.0f} MB/s beyond the start")
    keep("ingestion", {"limit_bytes": LIMIT_BYTES, "small": asdict(small), "large": asdict(large)})
    if large.peak_bytes > LIMIT_BYTES:
        sys.exit(f"The peak is above {LIMIT_BYTES / 1e9:g} GB.")


def make_project(root: Path) -> Path:
    """Return a project directory with this project's sources and base configuration, and the made-up portfolio."""
    for name in ("pyproject.toml", ".telemetry"):
        (root / name).symlink_to(PROJECT / name)
    for name in ("src", "conf/base"):
        shutil.copytree(PROJECT / name, root / name)
    (root / "conf/logging.yml").symlink_to(PROJECT / "conf/logging.yml")
    (root / "conf/volume").mkdir()
    (root / "conf/volume/portfolio.yml").write_text(DECLARATION, encoding="utf-8")
    (root / "conf/volume/catalog.yml").write_text(CATALOG, encoding="utf-8")
    (root / "data/1_raw/volume").mkdir(parents=True)
    return root


def measure(project: Path, size: int) -> Measured:
    """Return the run on a file of about ``size`` bytes."""
    file = project / "data/1_raw/volume/applicants.csv"
    rows = write_file(file, size)
    environment = os.environ | {"CREDIT_DATABASE_URL": f"sqlite:///{project}/records.db"}
    command = [sys.executable, "-m", "kedro", "run", "--env=volume", "--pipeline=ingestion"]
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit("kedro run failed; its message is above.")
    return Measured(file.stat().st_size, rows, time.monotonic() - begun, used.ru_maxrss * 1024)


def write_file(file: Path, size: int) -> int:
    """Write rows until the file has ``size`` bytes, and return their number."""
    draw = random.Random(1)  # noqa: S311 - made-up data
    tails = [_tail(draw) for _ in range(10_000)]
    rows, written = 0, len(HEADER)
    with file.open("w", encoding="utf-8") as out:
        out.write(HEADER)
        while written < size:
            line = f"applicant-{rows},{tails[rows % len(tails)]}"
            written += out.write(line)
            rows += 1
    return rows


def _tail(draw: random.Random) -> str:
    income = "" if draw.random() < 0.1 else f"{draw.gauss(3000, 500):.2f}"
    opened = f"20{draw.randrange(10, 20)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
    purpose, region = draw.choice(["car", "house", "school", "other"]), draw.choice(["north", "south", "east", "west"])
    remark = draw.choice(["", "a remark of some length", '"quoted, with a comma"'])
    numbers = f"{income},{draw.randrange(1, 90_000)},{draw.random():.6f},{draw.randrange(18, 90)}"
    return f"{numbers},{opened},{purpose},{region},{remark},{int(draw.random() < 0.1)}\n"


if __name__ == "__main__":
    main()
