"""What the benchmark prints and saves."""

import json
import os
import statistics

from row import MIB
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


def base_of(b):
    """The target that all are compared with."""
    names = [t.name for t in b.targets]
    return next((n for n in ("gocryptfs", "passthrough", "plain") if n in names), names[0])


def ratios(b, row, one, other):
    """How much faster the one is, in each round: what slowed a round down slowed both. None if one of them was left out."""
    if (row.key, one) not in b.values or (row.key, other) not in b.values:
        return None
    pairs = zip(b.values[row.key, one], b.values[row.key, other])
    return [y / x if row.unit == "s" else x / y for x, y in pairs]


def ratio_to(b, row, one, other):
    r = ratios(b, row, one, other)
    return statistics.median(r) if r else None


def value_text(b, row, name):
    values = b.values.get((row.key, name))
    return f"{amount(statistics.median(values))} {row.unit}" if values else "-"


def range_text(r):
    if not r:
        return "-"
    return f"{amount(statistics.median(r))} ({amount(min(r))} to {amount(max(r))})" if len(r) > 1 else amount(r[0])


def speed_table(b):
    names = [t.name for t in b.targets]
    print_table([["", *names]] + [[row.name] + [value_text(b, row, n) for n in names] for row in b.rows])


def ratio_table(b):
    base = base_of(b)
    names = [t.name for t in b.targets if t.name != base]
    if names:
        lines = [[f"speed, {base} = 1", *names]]
        lines += [[row.name] + [range_text(ratios(b, row, n, base)) for n in names] for row in b.rows]
        print_table(lines)


def usage_text(of):
    if not of:
        return "-"
    cpu, written, later = (statistics.median(u[k] for u in of) for k in ("cpu", "written", "later"))
    return f"{cpu:.2f} / {amount(written / MIB) if written >= MIB / 10 else 0} / {later:.2f}"


def usage_table(b):
    """What the mount process used, with what it put off: processor seconds, and bytes given to write calls."""
    names = [t.name for t in b.targets if isinstance(t, Mounted)]
    if not names:
        return
    lines = [["processor seconds / MiB written / seconds put off", *names]]
    lines += [[row.name] + [usage_text(b.used.get((row.key, n))) for n in names] for row in b.rows]
    print_table(lines)
    print("Put off: what the target needed afterwards to bring everything in place; the first two figures include it. Written: to the store "
          "and, where a row reads, to the kernel as answers.\n")


def memory_table(b):
    names = [t.name for t in b.targets if isinstance(t, Mounted)]
    if b.memory:
        lines = [["memory of the mount afterwards, MiB", *names]]
        for row in b.rows:
            if row.big:
                lines.append([row.name] + [amount(max(b.memory[row.key, n]) / 1024) if (row.key, n) in b.memory else "-" for n in names])
        print_table(lines)


def requests_text(rounds):
    """The round with the median total; forgetting is not waited for."""
    rounds = [{k: n for k, n in r.items() if k not in ("FORGET", "BATCH_FORGET")} for r in rounds]
    typical = sorted(rounds, key=lambda r: sum(r.values()))[len(rounds) // 2]
    parts = [f"{k} {n}" for k, n in sorted(typical.items(), key=lambda x: -x[1])]
    return ", ".join(parts) or "none"


def requests_table(b):
    if b.asked:
        print_table([["", "requests to coffer"]] + [[row.name, requests_text(b.asked[row.key])] for row in b.rows if row.key in b.asked], 2)


def aims_table(b):
    lines = [["journal on to off, by speed", "aim", "median of rounds", "lowest", "highest", ""]]
    for row in b.rows:
        r = ratios(b, row, "coffer", "nojournal")
        if not r:
            continue
        m, aim = statistics.median(r), JOURNAL_AIMS.get(row.key)
        said = "" if aim is None else ("reached" if m >= aim else "missed")
        lines.append([row.name, amount(aim) if aim else "", amount(m), amount(min(r)), amount(max(r)), said])
    print_table(lines)


def polls_before_halting():
    """For how many nanoseconds an idle processor of this virtual machine does; None: it is none, or another driver decides."""
    try:
        with open("/sys/devices/system/cpu/cpuidle/current_driver") as f:
            if f.read().strip() != "haltpoll":
                return None
        with open("/sys/module/haltpoll/parameters/guest_halt_poll_ns") as f:
            return int(f.read())
    except OSError:
        return None


def conditions(b, args):
    sizes = [f"The large file has {args.size // MIB} MiB"]
    if "tree" in b.inputs.bytes:
        sizes.append(f"the tree {args.files} files of {b.inputs.bytes['tree'] / MIB:.0f} MiB")
    if "archive" in b.inputs.bytes:
        sizes.append(f"the archive {args.archived} files of {b.inputs.bytes['archive'] / MIB:.0f} MiB")
    if "repository" in b.inputs.bytes:
        sizes.append(f"the repository {args.tracked} files of {b.inputs.bytes['repository'] / MIB:.0f} MiB")
    if any(row.big for row in b.rows):
        sizes.append(f"the one directory {args.many} empty files")
    print(f"Medians of {args.rounds} rounds. Ratios are speeds (above 1, the first is the faster one): the median of the rounds' own, the "
          f"lowest and the highest. {', '.join(sizes)}; {args.commits} commits or synced files. Load at the start {args.load:.1f}, "
          f"at the end {os.getloadavg()[0]:.1f}; {os.cpu_count()} processors.")
    polls = polls_before_halting()
    if polls is not None:
        does = f"polls for {polls / 1000:.0f} us before it halts" if polls else "halts at once"
        print(f"An idle processor of this virtual machine {does} (guest_halt_poll_ns).")
    if not ROOT:
        print("Not root: the caches of the store were not dropped, so that \"cold\" is cold for the mounts only.")
    peaks = [f"{t.name} {t.peak_kib / 1024:.0f} MiB" for t in b.targets if t.peak_kib]
    if peaks:
        print(f"Peak memory of the mounts (VmHWM): {', '.join(peaks)}.")
    for what, why in b.left_out.items():
        print(f"Left out: {what if isinstance(what, str) else ' of '.join(what)} ({why}).")


def report(b, args):
    names = [t.name for t in b.targets]
    speed_table(b)
    ratio_table(b)
    if args.journal and {"coffer", "nojournal"} <= set(names):
        aims_table(b)
    usage_table(b)
    memory_table(b)
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
        "halt_poll_ns": polls_before_halting(),
        "rows": [
            {
                "key": row.key,
                "name": row.name,
                "unit": row.unit,
                "values": {t.name: b.values.get((row.key, t.name)) for t in b.targets},
                "used": {t.name: b.used.get((row.key, t.name)) for t in b.targets},
                "requests": b.asked.get(row.key),
            }
            for row in b.rows
        ],
        "peak_kib": {t.name: t.peak_kib for t in b.targets if t.peak_kib},
    }
    with open(args.json, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
