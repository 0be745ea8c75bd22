#!/usr/bin/env python3
"""Raft beside JRaft: three nodes of each in turn, the same disk, the same clients, interleaved rounds.

raft.py DIR [ROUNDS [SECONDS]]   DIR lies on the disk to be measured; results are appended to DIR/raft.jsonl.
Needs `cargo build --release -p diwan-replica --example kv`, `-p diwan-bench --bin raftload`, and interop/jraft built.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
HARNESS = os.environ.get("JRAFT_HARNESS", os.path.join(ROOT, "interop", "jraft"))
KV, LOAD = os.path.join(TARGET, "examples", "kv"), os.path.join(TARGET, "raftload")
# Bolt's client drops answers beyond 600 that wait for its executor: more room for both systems.
JAVA = "-Xms1g -Xmx1g -Dbolt.tp.queue=100000"


def json_lines(text):
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def floor(directory):
    program = os.path.join(directory, "floor.program")
    if not os.path.exists(program):
        subprocess.run(["cc", "-O2", "-pthread", "-o", program, os.path.join(HERE, "floor.c")], check=True)
    return next(json_lines(subprocess.run([program, directory], capture_output=True, text=True, check=True).stdout))


def group(directory, system, command):
    """Starts three fresh nodes, runs a shell command with $PEERS and $PIDS, returns the JSON lines of both."""
    data = os.path.join(directory, "group")
    shutil.rmtree(data, ignore_errors=True)
    env = dict(os.environ, KV=KV, LOAD=LOAD)
    if system == "diwan":
        env.update({f"NODE_{n}": KV for n in (1, 2, 3)})
    elif system == "diwan-400":
        env.update({f"NODE_{n}": f"{KV} --election-timeout-ms 400" for n in (1, 2, 3)})
    run = [os.path.join(HARNESS, "with-group.sh"), data, "sh", "-c", command]
    out = subprocess.run(run, cwd=HARNESS, env=env, capture_output=True, text=True, timeout=600)
    return list(json_lines(out.stdout))


def round_of(directory, system, seconds):
    warm = seconds
    java = f'JAVA_OPTS="{JAVA}" ./jraft bench --group kv --peers "$PEERS" --pids "$PIDS" --warmup {warm} --seconds {seconds}'
    native = f'"$LOAD" --peers "$PEERS" --pids "$PIDS" --warmup {max(1, warm // 3)} --seconds {seconds}'
    yield "floor", floor(directory)
    for line in group(directory, system, f"{native} --in-flight 1024,64,1; {native} --in-flight 64 --reads; "
                                         f"{java} --value-bytes 16 --in-flight 1024,64,1"):
        yield system, line
    for line in group(directory, system, f"{native} --value-bytes 1024 --in-flight 1024,1; {java} --value-bytes 1024 --in-flight 1024"):
        yield system, line
    which = "diwan-400" if system == "diwan" else system
    for line in group(directory, which, './jraft failover --peers "$PEERS" --pids "$PIDS"'):
        yield system, dict(line, case="failover") if "case" not in line else line


def main():
    directory = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    os.makedirs(directory, exist_ok=True)
    results = []
    with open(os.path.join(directory, "raft.jsonl"), "a") as log:
        for number in range(rounds):
            for system in ("jraft", "diwan") if number % 2 == 0 else ("diwan", "jraft"):
                for name, line in round_of(directory, system, seconds):
                    record = {"at": time.strftime("%H:%M:%S"), "round": number, "system": name, **line}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                    results.append(record)
                    print(f"{record['at']} round {number} {name} {line.get('case', '')} {line.get('in_flight', '')}", file=sys.stderr)
    summary(results)


def cpu_us(record):
    if "nodes_cpu_us_per_op" in record:
        return record["nodes_cpu_us_per_op"]
    return record.get("nodes_cpu_s_per_1000_ops", 0) * 1000


def summary(results):
    floors = [record for record in results if record["system"] == "floor"]
    print("floor: append_4k_x3 p50", statistics.median(record["append_4k_x3_p50_us"] for record in floors), "us; 4k p50",
          statistics.median(record["append_4k_p50_us"] for record in floors), "us; 1 MiB",
          statistics.median(record["append_1m_mb_per_s"] for record in floors), "MB/s")
    cases = {}
    for record in results:
        if "ops_per_s" in record:
            key = (record["case"], record["value_bytes"], record["in_flight"], record.get("client", "java"))
            cases.setdefault(key, {}).setdefault(record["system"], []).append(record)
    middle = lambda records, value: statistics.median(value(record) for record in records)
    print("| case | client | JRaft ops/s | Diwan ops/s | ratio | JRaft p50, us CPU/op | Diwan p50, us CPU/op | CPU ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for (case, size, in_flight, client), systems in sorted(cases.items()):
        if len(systems) < 2:
            continue
        theirs, ours = systems["jraft"], systems["diwan"]
        rate = [middle(records, lambda r: r["ops_per_s"]) for records in (theirs, ours)]
        p50 = [middle(records, lambda r: r["p50_us"]) for records in (theirs, ours)]
        cpu = [middle(records, cpu_us) for records in (theirs, ours)]
        print(f"| {case} {size} B, {in_flight} in flight | {client} | {rate[0]:,.0f} | {rate[1]:,.0f} | {rate[1] / rate[0]:.1f} "
              f"| {p50[0]:,.0f}, {cpu[0]:.0f} | {p50[1]:,.0f}, {cpu[1]:.1f} | {cpu[0] / max(cpu[1], 0.01):.1f} |")
    for system in ("jraft", "diwan"):
        gaps = [record["kill_to_accept_ms"] for record in results if record["system"] == system and "kill_to_accept_ms" in record]
        if gaps:
            print(f"failover {system}: median {statistics.median(gaps)} ms of {len(gaps)}, {min(gaps)}-{max(gaps)}")
        starts = [record["start_to_leader_ms"] for record in results if record["system"] == system and "start_to_leader_ms" in record]
        rss = [max(record["rss_mib"]) for record in results if record["system"] == system and "rss_mib" in record]
        if starts and rss:
            print(f"{system}: start to leader {statistics.median(starts)} ms, largest RSS {max(rss)} MiB")


if __name__ == "__main__":
    main()
