#!/usr/bin/env python3
"""The registry beside SOFARegistry, the same Java client on both ends, interleaved rounds; then one of three nodes is killed.

registry.py DIR [ROUNDS]   results are appended to DIR/registry.jsonl.
Needs `cargo build --release -p diwan-cli -p diwan-bench`, Maven and JDK 17, interop/registry built, and the originals' ports free.
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
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
CLIENT = os.path.join(ROOT, "interop", "registry", "registry")
CLIENT_VERSION = "6.5.6"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(what, patience=90):
    end = time.time() + patience
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        if time.time() > end:
            raise RuntimeError("not ready in time")
        time.sleep(0.1)


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
        return answer.read().decode()


class Node:
    """A node of Diwan; its five ports begin with the one by which members know it."""

    def __init__(self, directory, ports, peers=()):
        self.ports, self.session = ports, ports[3]
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        config = os.path.join(directory, "diwan.toml")
        at = ["127.0.0.1:%d" % port for port in ports]
        with open(config, "w") as file:
            file.write(f'node = "{at[0]}"\nadmin = "{at[1]}"\ndata = "{directory}/data"\npeers = {json.dumps(list(peers))}\n'
                       f'[log]\nlevel = "warn"\n[tx]\nenabled = false\n[saga]\nenabled = false\n[registry]\nlisten = "{at[2]}"\nsession_http = "{at[3]}"\nmeta_http = "{at[4]}"\n')
        self.process = subprocess.Popen([os.path.join(TARGET, "diwan"), "server", "--config", config])

    def stop(self):
        self.process.kill()
        self.process.wait()


class Original:
    """SOFARegistry 6.3.0 with its own ports and timers."""

    def __init__(self):
        self.session = 9603
        log = open(os.devnull, "w")
        self.process = subprocess.Popen([os.path.join(HERE, "registry-server", "run.sh")], stdout=log, stderr=log,
                                        start_new_session=True)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def cpu_ms(pid):
    """CPU time of all threads so far, from the scheduler's nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except OSError:
            pass
    return total / 1e6


def java(session, *arguments):
    env = dict(os.environ, CLIENT_VERSION=CLIENT_VERSION)
    run = [CLIENT, "push-bench", "--endpoint", f"127.0.0.1:{session}", *map(str, arguments)]
    out = subprocess.run(run, env=env, capture_output=True, text=True, timeout=600).stdout
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return lines[-1] if lines else {"error": "nothing said"}


def measured(server, *arguments):
    before = cpu_ms(server.process.pid)
    said = java(server.session, *arguments)
    return dict(said, server_cpu_ms=round(cpu_ms(server.process.pid) - before, 1))


def one_round(directory):
    for name in ("sofaregistry", "diwan"):
        server = Original() if name == "sofaregistry" else Node(os.path.join(directory, "node"), free_ports(5))
        try:
            until(lambda: ":" in ask(server.session, "/api/servers/query") and ask(server.session, "/health/check"))
            time.sleep(2)
            yield name, "one change to one subscriber", measured(server, "--subscribers", 1, "--changes", 20)
            yield name, "1,000 registrations of one client", measured(
                server, "--subscribers", 500, "--clients", 1, "--layout", "many", "--changes", 0, "--warmup", 0)
        finally:
            server.stop()


def three(directory):
    ports = [free_ports(5) for _ in range(3)]
    peers = ["127.0.0.1:%d" % one[0] for one in ports]
    nodes = [Node(os.path.join(directory, f"node-{n}"), one, peers) for n, one in enumerate(ports)]
    until(lambda: all(ask(node.session, "/api/servers/query").count(":") == 3 for node in nodes))
    return nodes


def kill_native(directory):
    nodes = three(directory)
    try:
        run = [os.path.join(TARGET, "registrykill"), "--endpoints", ",".join(f"127.0.0.1:{node.session}" for node in nodes),
               "--victim", f"127.0.0.1:{nodes[0].ports[2]}", "--pid", str(nodes[0].process.pid)]
        out = subprocess.run(run, capture_output=True, text=True, timeout=120)
        return json.loads(out.stdout) if out.stdout else {"error": out.stderr}
    finally:
        for node in nodes:
            node.stop()


def kill_java(directory):
    """24 Java clients that are told of a change each 50 ms: the longest wait is that of those whose node was killed."""
    nodes = three(directory)
    try:
        env = dict(os.environ, CLIENT_VERSION=CLIENT_VERSION)
        run = [CLIENT, "push-bench", "--endpoint", f"127.0.0.1:{nodes[1].session}", "--subscribers", "24", "--clients", "24",
               "--changes", "200", "--pause-ms", "50"]
        bench = subprocess.Popen(run, env=env, stdout=subprocess.PIPE, text=True)
        time.sleep(12)
        nodes[0].process.kill()
        out, _ = bench.communicate(timeout=300)
        return next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
    finally:
        for node in nodes:
            node.stop()


def main():
    directory = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.makedirs(directory, exist_ok=True)
    seen = {}
    with open(os.path.join(directory, "registry.jsonl"), "a") as results:
        def keep(name, case, said):
            results.write(json.dumps({"system": name, "case": case, **said}) + "\n")
            results.flush()
            print(name, case, json.dumps(said), flush=True)
            for key, value in said.items():
                if isinstance(value, (int, float)):
                    seen.setdefault((case, name, key), []).append(value)
        for _ in range(rounds):
            for one in one_round(directory):
                keep(*one)
            keep("diwan", "kill -9 of one of three, native clients", kill_native(directory))
            keep("diwan", "kill -9 of one of three, Java clients", kill_java(directory))
    print("\nmedians")
    for (case, name, key), values in sorted(seen.items()):
        if key.endswith(("_us", "_ms", "_max", "fewest_seen")):
            print(f"{case:45} {name:13} {key:32} {statistics.median(values):12.1f}  max {max(values):12.1f}")


main()
