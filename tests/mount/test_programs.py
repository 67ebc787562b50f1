#!/usr/bin/python3
"""Unmodified programs in a mount: a real tree, git, a compiler, SQLite, tar; and nothing of it readable below."""

import os
import sys

import harness
from harness import Skip, equal, need, need_mount, read_file, run, scaled, write_file


def sh(d, script, timeout=240, **env):
    environment = {**os.environ, "HOME": d, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", **env}
    for who in ("AUTHOR", "COMMITTER"):
        environment.update({f"GIT_{who}_NAME": "A", f"GIT_{who}_EMAIL": "a@example.org"})
    return run("sh", "-euc", script, cwd=d, timeout=timeout, env=environment).stdout


def tree():
    """A real source tree, of a size that fits the time."""
    for path in ("/usr/include", "/usr/share/doc"):
        if os.path.isdir(path):
            return path
    raise Skip("no tree to copy")


@harness.limit(400)
def test_tree_and_secrecy(volume):
    """Copied, remounted, compared; no name and no content of it can be found in the ciphertext."""
    source = tree()
    parts = sorted(os.listdir(source))
    if not harness.LONG:
        parts = parts[: scaled(max(12, len(parts) // 4))]
    volume.mount()
    copy, marked = f"{volume.mnt}/tree", f"{volume.mnt}/marker directory"
    os.mkdir(copy)
    os.mkdir(marked)
    run("cp", "-a", "--", *(f"{source}/{p}" for p in parts), copy, timeout=300)
    write_file(f"{marked}/file with a name to be found", b"a line of content to be found " * 500)
    os.symlink("a target of a link to be found", f"{marked}/l")
    os.symlink("a longer target to be found " * 100, f"{marked}/l2")
    write_file(f"{marked}/{'a long name to be found ' * 10}", b"inline content to be found")
    os.setxattr(f"{marked}/file with a name to be found", "user.attribute to be found", b"value to be found")
    volume.remount()
    for p in parts:
        run("diff", "-r", "--no-dereference", f"{source}/{p}", f"{copy}/{p}", timeout=300)
    equal(attributes_of(copy, parts), attributes_of(source, parts))
    volume.umount()
    if harness.PLAIN:
        return
    names = {n for _, d, f in os.walk(source) for n in d + f if len(n) >= 8}
    below = [n for _, d, f in os.walk(volume.dir) for n in d + f]
    equal([n for n in below if n in names or "found" in n], [])
    needles = [b"to be found", b"Free Software Foundation", b"#include <", b"#define", b"typedef struct", b"marker dir"]
    needles += [os.fsencode(n) for n in sorted(names)[:: max(1, len(names) // 40)]]
    equal(find_in_files(volume.dir, needles), [])


def attributes_of(top, parts):
    shown = "-type f -printf '%p %m %U:%G %T@ %s\\n' -o -type d -printf '%p %m %U:%G %T@\\n' -o -printf '%p %l\\n'"
    names = " ".join(f"'{p}'" for p in parts)
    return run("sh", "-c", f"find {names} {shown} | sort", cwd=top).stdout.splitlines()


def find_in_files(top, needles):
    found = []
    for parent, dirs, names in os.walk(top):
        for name in names + dirs:
            path = os.path.join(parent, name)
            if os.path.islink(path):
                data = os.fsencode(os.readlink(path))
            elif os.path.isfile(path):
                data = read_file(path)
            else:
                continue
            attributes = b" ".join(
                os.fsencode(n) + os.getxattr(path, n, follow_symlinks=False)
                for n in os.listxattr(path, follow_symlinks=False)
            )
            found += [(path, n) for n in needles if data.find(n) >= 0 or n in attributes]
    return found


@harness.limit(300)
def test_git(d):
    need("git")
    sh(
        d,
        """
        git init -q origin; cd origin
        i=0; while [ $i -lt 30 ]; do
            mkdir -p dir$((i % 5)); seq $i $((i * 50 + 100)) > dir$((i % 5))/file$i; git add .; git commit -q -m "change $i"
            i=$((i + 1)); done
        git branch side HEAD~10; git checkout -q side; echo side > side; git add side; git commit -q -m side
        git checkout -q master 2>/dev/null || git checkout -q main; git merge -q -m merge side; git gc -q --aggressive; git fsck --full
        cd ..; git clone -q origin clone; cd clone; git fsck --full; git status --porcelain | wc -l | grep -qx 0
        git mv dir0 moved; git commit -q -m move; git push -q origin HEAD:pushed; git stash list
        touch f; git stash -u -q; git stash pop -q; rm f; git worktree add -q ../work side; diff -r ../work/dir1 dir1 || true
        """,
        timeout=280,
    )


def test_compiler(d):
    need("cc", "make")
    write_file(f"{d}/a.c", b'#include <stdio.h>\nint f(void);\nint main(void)\n{\n\tprintf("%d\\n", f());\n}\n')
    write_file(f"{d}/b.c", b"int f(void)\n{\n\treturn 42;\n}\n")
    write_file(f"{d}/Makefile", b"a: a.o b.o\n\tcc -o a a.o b.o\nb.so: b.c\n\tcc -shared -fPIC -o b.so b.c\n")
    equal(sh(d, "make -s a b.so; ./a; make -q a && echo again nothing to do"), "42\nagain nothing to do\n")
    sh(d, "ar rcs lib.a b.o; ranlib lib.a; cc -o a2 a.c lib.a; ./a2; strip a2; ./a2; ldd ./b.so")


def test_sqlite(d):
    need("sqlite3")
    for mode in ("delete", "wal", "truncate", "persist"):
        script = f"""
            sqlite3 {mode}.db 'pragma journal_mode={mode}; create table t(a integer primary key, b text);'
            sqlite3 {mode}.db "with recursive c(x) as (select 1 union all select x + 1 from c where x < {scaled(3000)})
                insert into t select x, hex(randomblob(100)) from c;"
            sqlite3 {mode}.db 'update t set b = b || a where a % 3 = 0; delete from t where a % 7 = 0; create index i on t(b);'
            sqlite3 {mode}.db 'vacuum; pragma integrity_check; select count(*) from t;'
            """
        equal(sh(d, script).splitlines()[-2:], ["ok", str(scaled(3000) - scaled(3000) // 7)])
    writer = "for i in 1 2 3 4 5 6 7 8 9 10; do sqlite3 -cmd '.timeout 20000' wal.db \"insert into t(b) values('$i')\"; done"
    sh(d, f"({writer}) & ({writer}) & ({writer}) & wait; wait; sqlite3 wal.db 'pragma integrity_check'")
    equal(sh(d, "sqlite3 wal.db \"select count(*) from t where length(b) < 3\"").strip(), "30")


def test_tar_and_rsync(d):
    need("tar")
    sh(
        d,
        """
        mkdir a; cd a; for i in $(seq 200); do echo $i > f$i; done; ln f1 hard; ln -s f2 soft; mkfifo p; mkdir -p x/y/z
        truncate -s 10M sparse; printf end >> sparse; chmod 400 f3; touch -d 2001-02-03 f4; cd ..
        tar cSf a.tar a; mkdir b; tar xSf a.tar -C b; diff -r --no-dereference -x p a b/a; cmp a/sparse b/a/sparse
        test $(stat -c %h b/a/hard) = 2; test "$(stat -c %Y b/a/f4)" = "$(stat -c %Y a/f4)"
        test $(stat -c %b b/a/sparse) -lt 1000
        """,
    )
    if harness.have("rsync"):
        sh(d, 'rsync -aHAX a/ c/; rsync -aHAX --checksum --itemize-changes a/ c/ > changes; test ! -s changes; rsync -a --inplace a/ c/')


def test_shell_tools(d):
    sh(
        d,
        """
        seq 100000 > n; sort -R n | sort -n | cmp - n; sed -i s/5/five/ n; grep -c five n; split -l 1000 n part.
        cat part.* | cmp - n; dd if=/dev/urandom of=r bs=100001 count=7 2>/dev/null; gzip -k r; gunzip -c r.gz | cmp - r
        truncate -s 0 n; echo x >> n; cat n; mv r r2; cp -r . ../copy-of-it; diff -r . ../copy-of-it; rm -rf ../copy-of-it
        find . -newer n -name 'part*' | wc -l; du -s .; ls -lR > /dev/null; install -m 640 n m; test $(stat -c %a m) = 640
        flock n true; mktemp -p . > name; test -f $(cat name); dd if=r2 of=direct bs=4096 count=100 oflag=direct 2>/dev/null
        cmp -n 409600 r2 direct; python3 -c 'import json; json.dump(list(range(1000)), open("j", "w"))'
        """,
    )


@harness.limit(300)
def test_compile_a_tree(d):
    """Many small programs in parallel, as a build does it."""
    need("cc", "make")
    n = max(6, scaled(60))
    for i in range(n):
        write_file(f"{d}/m{i}.c", f"int m{i}(int x)\n{{\n\treturn x + {i};\n}}\n".encode())
    calls = " + ".join(f"m{i}(1)" for i in range(n))
    decl = "".join(f"int m{i}(int);" for i in range(n))
    write_file(f"{d}/main.c", f'#include <stdio.h>\n{decl}\nint main(void)\n{{\n\tprintf("%d\\n", {calls});\n}}\n'.encode())
    objects = " ".join(f"m{i}.o" for i in range(n))
    write_file(f"{d}/Makefile", f"main: main.o {objects}\n\tcc -o $@ $^\n".encode())
    equal(sh(d, "make -s -j4; ./main").strip(), str(sum(range(n)) + n))
    sh(d, "make -s -j4 | grep -c . && exit 1; touch m0.c; make -j4 | grep -q m0.c; rm *.o; make -s -j2; ./main")


if __name__ == "__main__":
    sys.exit(harness.main())
