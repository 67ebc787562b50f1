"""What the benchmark prints and saves."""

import json
import os
import statistics

from rows import MIB
from targets import ROOT, Mounted

# What the journal may cost: the speed that has to be left of the speed without it.
JOURNAL_AIMS = {"sqlite-wal": 1.0, "sqlite-delete": 1.0, "synced-files": 1.0, "overwrite": 0.6, "untar": 1.0}


def amount(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.3f}"


def print_table(lines, text_columns=1):
    head = lines[0]
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] * text_columns + ["---:"] * (len(head) - text_columns)) + " |")
    for line in lines[1:]:
        print("| " + " | ".join(line) + " |")
    print()


def ratios(b, row, one, other):
    """How much faster the one is, in each round: what slowed a round down slowed both."""
    pairs = zip(b.values[row.key, one], b.values[row.key, other])
    return [y / x if row.unit == "s" else x / y for x, y in pairs]


def speed_table(b, compared):
    names = [t.name for t in b.targets]
    lines = [["", *names, *(f"{one} to {other}" for one, other in compared)]]
    for row in b.rows:
        line = [row.name] + [f"{amount(statistics.median(b.values[row.key, n]))} {row.unit}" for n in names]
        for one, other in compared:
            r = ratios(b, row, one, other)
            line.append(f"{amount(statistics.median(r))} ({amount(min(r))} to {amount(max(r))})")
        lines.append(line)
    print_table(lines)


def usage_table(b):
    """What the mount process used, with what it put off: processor seconds, and bytes given to write calls."""
    names = [t.name for t in b.targets if isinstance(t, Mounted)]
    if not names:
        return
    lines = [["processor seconds / MiB written / seconds put off", *names]]
    for row in b.rows:
        line = [row.name]
        for n in names:
            of = b.used[row.key, n]
            cpu, written, later = (statistics.median(u[k] for u in of) for k in ("cpu", "written", "later"))
            line.append(f"{cpu:.2f} / {amount(written / MIB) if written >= MIB / 10 else 0} / {later:.2f}")
        lines.append(line)
    print_table(lines)
    print("Put off: what the target needed afterwards to bring everything in place; the first two figures include it. Written: to the store "
          "and, where a row reads, to the kernel as answers.\n")


def requests_text(rounds):
    """The round with the median total; forgetting is not waited for."""
    rounds = [{k: n for k, n in r.items() if k not in ("FORGET", "BATCH_FORGET")} for r in rounds]
    typical = sorted(rounds, key=lambda r: sum(r.values()))[len(rounds) // 2]
    parts = [f"{k} {n}" for k, n in sorted(typical.items(), key=lambda x: -x[1])]
    return ", ".join(parts) or "none"


def requests_table(b):
    if b.asked:
        print_table([["", "requests to coffer"]] + [[row.name, requests_text(b.asked[row.key])] for row in b.rows], 2)


def aims_table(b):
    lines = [["journal on to off, by speed", "aim", "median of rounds", "lowest", "highest", ""]]
    for row in b.rows:
        r = ratios(b, row, "coffer", "nojournal")
        m, aim = statistics.median(r), JOURNAL_AIMS.get(row.key)
        said = "" if aim is None else ("reached" if m >= aim else "missed")
        lines.append([row.name, amount(aim) if aim else "", amount(m), amount(min(r)), amount(max(r)), said])
    print_table(lines)


def conditions(b, args):
    sizes = [f"The large file has {args.size // MIB} MiB"]
    if "tree" in b.inputs.bytes:
        sizes.append(f"the tree {args.files} files of {b.inputs.bytes['tree'] / MIB:.0f} MiB")
    if "archive" in b.inputs.bytes:
        sizes.append(f"the archive {args.archived} files of {b.inputs.bytes['archive'] / MIB:.0f} MiB")
    print(f"Medians of {args.rounds} rounds. Ratios are speeds (above 1, the first is the faster one): the median of the rounds' own, the "
          f"lowest and the highest. {', '.join(sizes)}; {args.commits} commits or synced files. Load at the start {args.load:.1f}, "
          f"at the end {os.getloadavg()[0]:.1f}; {os.cpu_count()} processors.")
    if not ROOT:
        print("Not root: the caches of the store were not dropped, so that \"cold\" is cold for the mounts only.")
    peaks = [f"{t.name} {t.peak_kib / 1024:.0f} MiB" for t in b.targets if t.peak_kib]
    if peaks:
        print(f"Peak memory of the mounts (VmHWM): {', '.join(peaks)}.")


def report(b, args):
    names = [t.name for t in b.targets]
    compared = [("coffer", n) for n in ("gocryptfs", "nojournal", "passthrough", "plain") if n in names and "coffer" in names]
    speed_table(b, compared)
    if args.journal and {"coffer", "nojournal"} <= set(names):
        aims_table(b)
    usage_table(b)
    requests_table(b)
    conditions(b, args)


def save(b, args):
    data = {
        "rounds": args.rounds,
        "size": args.size,
        "files": args.files,
        "archived": args.archived,
        "commits": args.commits,
        "bytes": b.inputs.bytes,
        "root": ROOT,
        "load": args.load,
        "kernel": os.uname().release,
        "rows": [
            {
                "key": row.key,
                "name": row.name,
                "unit": row.unit,
                "values": {t.name: b.values[row.key, t.name] for t in b.targets},
                "used": {t.name: b.used[row.key, t.name] for t in b.targets},
                "requests": b.asked.get(row.key),
            }
            for row in b.rows
        ],
        "peak_kib": {t.name: t.peak_kib for t in b.targets if t.peak_kib},
    }
    with open(args.json, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
