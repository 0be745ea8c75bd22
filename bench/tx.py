#!/usr/bin/env python3
"""Empty global transactions: Diwan beside the real Seata server, the same Java client, interleaved rounds; then Diwan alone with
the native generator.

tx.py DIR [ROUNDS]   DIR lies on the disk to be measured; results are appended to DIR/tx.jsonl.
Needs `cargo build --release -p diwan-cli -p diwan-bench`, interop/seata built, Maven and JDK 17, and ports 8091, 7091 and 9091 free.
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
CLIENT = os.path.join(ROOT, "interop", "seata", "run.sh")
TC = ("127.0.0.1", 8091)


def until_listening():
    for _ in range(600):
        try:
            socket.create_connection(TC, 1).close()
            return time.sleep(2)
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("no coordinator")


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Diwan:
    def __init__(self, directory):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        config = os.path.join(directory, "diwan.toml")
        with open(config, "w") as file:
            file.write(f'node = "127.0.0.1:18701"\nadmin = "127.0.0.1:18702"\ndata = "{directory}/data"\n[log]\nlevel = "warn"\n'
                       '[registry]\nenabled = false\n[saga]\nenabled = false\n')
        self.process = subprocess.Popen([os.path.join(TARGET, "diwan"), "server", "--config", config])

    def stop(self):
        self.process.kill()
        self.process.wait()


class Null:
    """Answers at once and does nothing: what the client reaches at most."""

    def __init__(self):
        self.process = subprocess.Popen([os.path.join(TARGET, "txnull")])

    def stop(self):
        self.process.kill()
        self.process.wait()


class Seata:
    def __init__(self, directory, store):
        run = os.path.join(directory, "seata-" + store)
        env = dict(os.environ, RUN=run)
        self.process = subprocess.Popen([os.path.join(HERE, "seata-server", "run.sh"), store], env=env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def java(pid):
    run = [CLIENT, "tm-bench", "--tc", "127.0.0.1:8091", "--in-flight", "1,64,256", "--warmup", "15", "--seconds", "6",
           "--rounds", "1", "--server-pid", str(pid)]
    return json_lines(subprocess.run(run, capture_output=True, text=True, timeout=600).stdout)


def native(pid, *more):
    run = [os.path.join(TARGET, "txload"), "--pid", str(pid), *more]
    return json_lines(subprocess.run(run, capture_output=True, text=True, timeout=600).stdout)


def floor(directory):
    program = os.path.join(directory, "floor.program")
    if not os.path.exists(program):
        subprocess.run(["cc", "-O2", "-pthread", "-o", program, os.path.join(HERE, "floor.c")], check=True)
    return json_lines(subprocess.run([program, directory], capture_output=True, text=True, check=True).stdout)[0]


def one_round(directory):
    yield "floor", "floor", floor(directory)
    for name, start in (("seata file", lambda: Seata(directory, "file")), ("diwan", lambda: Diwan(os.path.join(directory, "diwan"))),
                        ("seata raft", lambda: Seata(directory, "raft")), ("null", Null)):
        server = start()
        try:
            until_listening()
            for line in java(server.process.pid):
                yield name, f"java {line['in_flight']}", line
            if name == "diwan":
                for line in native(server.process.pid, "--in-flight", "1,64,1024"):
                    yield name, f"native {line['in_flight']}", line
                half = str(int(line["tx_per_s"] / 2))
                for case, rate in (("native half load", half), ("native 28,500/s", "28500")):
                    for line in native(server.process.pid, "--in-flight", "1024", "--warmup", "0", "--rate", rate):
                        yield name, case, line
        finally:
            server.stop()
            time.sleep(1)


def main():
    directory = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.makedirs(directory, exist_ok=True)
    seen = {}
    with open(os.path.join(directory, "tx.jsonl"), "a") as results:
        for _ in range(rounds):
            for name, case, said in one_round(directory):
                results.write(json.dumps({"system": name, "case": case, **said}) + "\n")
                results.flush()
                print(name, case, json.dumps(said), flush=True)
                for key, value in said.items():
                    if isinstance(value, (int, float)):
                        seen.setdefault((case, name, key), []).append(value)
    print("\nmedians")
    for (case, name, key), values in sorted(seen.items()):
        if key in ("tx_per_s", "p50_us", "p99_us", "server_cpu_us_per_tx", "server_rss_mib", "server_rss_mb", "append_4k_p50_us"):
            print(f"{case:20} {name:12} {key:24} {statistics.median(values):12.1f}")


main()
