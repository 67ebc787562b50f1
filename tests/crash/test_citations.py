#!/usr/bin/env python3
"""No rule of the journal without a test: what docs/durability.md promises a test cites, in parentheses behind the word journal."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = r'[WBCNRF][0-9][a-z]*'


def found(pattern, *globs):
    """Names in files, with the file that has each first."""
    names = {}
    for glob in globs:
        for path in sorted(ROOT.glob(glob)):
            for name in re.findall(pattern, path.read_text()):
                names.setdefault(name, path.relative_to(ROOT))
    return names


def main():
    rules = found(rf'\*\*({NAME})\*\*', 'docs/durability.md')
    told = found(rf'`({NAME})`', 'docs/durability.md')
    switches = found(rf'\bRULE_({NAME}),', 'fs/rules.h')
    code = found(rf'\(({NAME})\)', 'fs/*.c', 'fs/*.h')
    cited = found(rf'journal \(({NAME})\)', 'tests/**/*.c', 'tests/**/*.py')
    wrong = []

    if len(rules) < 25 or len(switches) < 25:
        wrong.append('docs/durability.md or fs/rules.h is not understood any more')
    for name in rules:
        # A part of a rule, as W5a, is the rule's own business: one of them is enough.
        if not any(re.fullmatch(rf'{name}[a-z]*', c) for c in cited):
            wrong.append(f'docs/durability.md: no test cites "journal ({name})"')
    for name in switches:
        if name not in told:
            wrong.append(f'fs/rules.h: docs/durability.md does not say what is done without {name}')
        if name not in cited:
            wrong.append(f'fs/rules.h: no test cites "journal ({name})"')
    for name in told:
        if name not in switches:
            wrong.append(f'docs/durability.md: there is no switch {name}')
    for names in code, cited:
        for name, path in names.items():
            if name not in rules and name not in switches:
                wrong.append(f'{path}: cites ({name}), of which docs/durability.md does not speak')
    for line in wrong:
        print(line)
    print(f'{len(rules)} rules and {len(switches)} switches, {len(wrong)} complaints')
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
