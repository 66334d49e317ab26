"""Runs commands in turn and compares the medians of a number that each prints.

    python benches/peers/race.py --rounds 3 --field tokens_per_second --out OUT.json \
        revela='target/release/train_step --batch 16' torch='python peer.py bench --batch 16'

Each command prints one JSON object (last on its standard output). Beside the field, the processor time and the largest
resident memory of the whole process are measured for all alike. The first command is what the others are compared with.
Numbers taken on a machine with other work say little; processor time then says more than the field.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile


def last_json(text):
    decoder, found = json.JSONDecoder(), None
    at = text.find("{")
    while at >= 0:
        try:
            found, length = decoder.raw_decode(text[at:])
            at = text.find("{", at + length)
        except json.JSONDecodeError:
            at = text.find("{", at + 1)
    return found


def run(command, field):
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        out.seek(0)
        report = last_json(out.read())
    if status != 0 or report is None:
        sys.exit(f"failed with status {status}: {shlex.join(command)}")
    cpu = usage.ru_utime + usage.ru_stime
    return {field: report[field], "cpu_seconds": cpu, "peak_bytes": usage.ru_maxrss * 1024, "report": report}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--field", default="tokens_per_second")
    parser.add_argument("--out")
    parser.add_argument("commands", nargs="+", metavar="NAME=COMMAND")
    args = parser.parse_args()
    commands = {name: shlex.split(line) for name, line in (c.split("=", 1) for c in args.commands)}
    runs = {name: [] for name in commands}
    for turn in range(args.rounds):
        for name, command in commands.items():
            runs[name].append(run(command, args.field))
            print(f"round {turn + 1}: {name} {runs[name][-1][args.field]:.1f}", file=sys.stderr, flush=True)
    fields = [args.field, "cpu_seconds", "peak_bytes"]
    medians = {name: {f: statistics.median(r[f] for r in rs) for f in fields} for name, rs in runs.items()}
    first = next(iter(medians))
    for name, values in medians.items():
        ratios = {f: round(medians[first][f] / values[f], 3) for f in fields}
        print(f"{name}: {json.dumps(values)}" + ("" if name == first else f"; {first} has {json.dumps(ratios)} of it"))
    if args.out:
        result = {"rounds": args.rounds, "commands": {n: shlex.join(c) for n, c in commands.items()},
                  "medians": medians, "runs": runs}  # fmt: skip
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


main()
