"""A PostgreSQL of a test run's own: a cluster in a temporary folder, on a Unix socket there."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SECONDS = 60  # until it must answer


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server while the block runs; yields the address of its database "postgres", with
    {name} in the place of the name. Skips the test where there is no PostgreSQL.
    """
    psycopg = pytest.importorskip("psycopg")
    if not shutil.which("initdb") or not shutil.which("postgres"):
        pytest.skip("there is no PostgreSQL: initdb and postgres are not on the path")
    with tempfile.TemporaryDirectory(prefix="hclx-pg-", ignore_cleanup_errors=True) as folder:
        options = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            try:
                shutil.chown(folder, "postgres", "postgres")
            except LookupError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = str(Path(folder, "data"))
        kind = ["--auth=trust", "--username=hclx", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(["initdb", f"--pgdata={data}", *kind], text=True, **options)
        assert made.returncode == 0, made.stderr
        # nothing of it outlives the tests, so that it need not wait for the disk
        server = [
            "postgres",
            "-D",
            data,
            "-k",
            folder,
            "-h",
            "",
            "-F",
            "-c",
            "log_min_messages=fatal",
        ]
        options["stderr"] = subprocess.DEVNULL
        process = subprocess.Popen(server, **options)
        try:
            end = time.monotonic() + _SECONDS
            while True:
                try:
                    psycopg.connect(host=folder, user="hclx", dbname="postgres").close()
                    break
                except psycopg.OperationalError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.05)
            yield f"postgresql://hclx@/{{name}}?host={folder}"
        finally:
            process.send_signal(signal.SIGQUIT)  # waits neither for clients nor for the disk
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
