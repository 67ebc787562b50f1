"""The files of the page as arrays of C: embed.py OUTPUT FILE..."""

import os
import re
import sys

with open(sys.argv[1], "w") as out:
    out.write("/* Made by embed.py. */\n")
    for path in sys.argv[2:]:
        with open(path, "rb") as f:
            content = f.read()
        name = re.sub(r"\W", "_", os.path.basename(path))
        out.write(f"static const unsigned char {name}[] = {{\n")
        for at in range(0, len(content), 24):
            out.write(" " + ",".join(map(str, content[at:at + 24])) + ",\n")
        out.write("};\n")
