#!/usr/bin/env python3
"""Is `check` linear? Doubles one dimension of a hostile policy at a time, up to the limit that the check names, and
compares the work: twice as much may take at most twice as much, and a little more for what grows with it (hash tables,
vectors). A CHECK_WORK that was built to count (scripts/replay_corpus.sh) counts basic blocks and bytes moved, the same
everywhere; another is run under callgrind, which counts instructions and takes minutes.

usage: linear.py CHECK_WORK [quick] [DIMENSION...]     all dimensions where none is named; quick: sizes are doubled until a
                                                       check takes more than five million, not up to the limit
exit code 77: CHECK_WORK does not count, and there is no valgrind
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ALLOWED = 2.3  # of the work for the part that grew; tables double at times
QUICK = 5e6
HEAD = "from vortex_torch.flow import vFlow, register\n"
CONFIG = '{"vortex_module_name": "p"}'


def schedule(text):
    return HEAD, '{"vortex_module_name": "p", "vortex_schedule_policy": "%s"}' % text


def config(text):
    return HEAD, '{"vortex_module_name": "p", %s}' % text


def module(text):
    return text, CONFIG


def each(n, text):
    """The text n times, with the number in it."""
    return "".join(text % ((i,) * text.count("%")) for i in range(n))


def nested(n, opening, inner):
    """Blocks within blocks, the text n times."""
    return "".join(" " * i + opening + "\n" for i in range(n)) + " " * n + inner + "\n"


def policy(steps, n=0, fields=1):
    """A whole policy: its scores go through `steps` of forward_indexer, its pages have so many fields."""
    return f"""import torch
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Add, GeMM, Mean, topK
from vortex_torch.cache import Mean as CMean
@register("p")
class P(vFlow):
  def __init__(self):
    super().__init__()
    self.mean = Mean(dim=1)
    self.score = GeMM()
    self.select = topK()
{each(fields, "    self.centroid%d = CMean(dim=1)" + chr(10))}{each(n, "    self.add%d = Add(alpha=0.5, beta=0.25)" + chr(10))}
  def create_cache(self, block_size, head_dim):
    return {{{each(fields, "'field%d': (1, head_dim), ")}}}
  def forward_cache(self, cache, loc, ctx):
{each(fields, "    self.centroid%d(cache['k'], cache['field%d'], loc=loc, ctx=ctx)" + chr(10))}
  def forward_indexer(self, q, o, cache, ctx):
    first = self.score(self.mean(q, ctx=ctx), cache["field0"], ctx=ctx)
    s = first
{steps}    self.select(s, o, ctx=ctx)
""", CONFIG


# name -> sizes, and what makes (module, configuration) of a size. The largest size is just below the limit, or beyond it.
DIMENSIONS = {
    # bytes and lines
    "bytes of a comment": (20000, 200000, lambda n: module("#" * n)),
    "lines": (1000, 30000, lambda n: module("x = 1\n" * n)),
    "empty lines": (1000, 60000, lambda n: module("\n" * n)),
    "lines that go on": (1000, 30000, lambda n: module("x = 1 + \\\n" + "\\\n" * n + "1\n")),
    "lines within brackets": (1000, 30000, lambda n: module("x = [\n" + "1,\n" * n + "]\n")),
    "letters of a string": (2000, 200000, lambda n: module("x = '" + "a" * n + "'\n")),
    "escapes of a string": (2000, 60000, lambda n: module("x = '" + "\\n" * n + "'\n")),
    "lines of a string": (2000, 60000, lambda n: module("x = \"\"\"" + "a\n" * n + "\"\"\"\n")),
    "parts of an f-string": (10, 5000, lambda n: module("a = 1\nx = f'" + "{a}b" * n + "'\n")),
    "digits of a number": (2000, 200000, lambda n: module("x = " + "9" * n + "\n")),
    "letters of a name": (2000, 100000, lambda n: module("x" * n + " = 1\n" + "y" * n + "\n")),
    "strings side by side": (500, 16000, lambda n: module("x = " + "'a' " * n + "\n")),
    # names and mistakes
    "names": (1000, 16000, lambda n: module(each(n, "a%d = 1\n"))),
    "names that are read": (500, 8000, lambda n: module(each(n, "a%d = 1\n") + each(n, "b = a%d\n"))),
    "unknown names": (200, 6400, lambda n: module(each(n, "a%d = 1\nmissing%d\n"))),
    "the same mistake": (1000, 60000, lambda n: module(f"y = [missing for i in range({n})]\n")),
    "a mistake at the end of a long line": (500, 16000, lambda n: module(
        f"x = '{'a' * 20000}'; y = [missing for i in range({n})]\n")),
    "lines that are no Python": (100, 12800, lambda n: module("x = 1 +\n" * n)),
    "characters that are no Python": (100, 25600, lambda n: module("?" * n + "\n")),
    "bytes that are no UTF-8": (100, 25600, lambda n: module("x = '" + "\udcff" * n + "'\n")),
    # expressions
    "terms of a sum": (10, 320, lambda n: module("x = 1" + "+1" * n + "\n")),
    "terms of an `and`": (10, 20000, lambda n: module("x = 1" + " and 1" * n + "\n")),
    "comparisons in a row": (10, 20000, lambda n: module("x = 1" + " <= 1" * n + "\n")),
    "signs in a row": (10, 20000, lambda n: module("x = " + "-" * n + "1\n")),
    "conditions in a row": (10, 5000, lambda n: module("x = 1" + " if 1 else 1" * n + "\n")),
    "attributes in a row": (10, 20000, lambda n: module("x = 'a'" + ".a" * n + "\n")),
    "subscripts in a row": (10, 20000, lambda n: module("x = [1]\nx" + "[0]" * n + "\n")),
    "calls in a row": (10, 20000, lambda n: module("def f():\n  return f\nf" + "()" * n + "\n")),
    "calls within calls": (10, 20000, lambda n: module("def f(x):\n  return x\n" + "f(" * n + "1" + ")" * n + "\n")),
    "open brackets": (10, 20000, lambda n: module("x = " + "[" * n + "\n")),
    "brackets within brackets": (10, 20000, lambda n: module("x = " + "[" * n + "]" * n + "\n")),
    "items of a list": (1000, 60000, lambda n: module("x = [" + "1," * n + "]\n")),
    "items of a tuple": (1000, 60000, lambda n: module("x = (" + "1," * n + ")\n")),
    "keys of a dict": (500, 16000, lambda n: module("x = {" + each(n, "'k%d': 1,") + "}\n")),
    "numbers as keys": (500, 16000, lambda n: module(f"x = {{i: 1 for i in range({n})}}\n")),
    "keys that are looked up": (500, 16000, lambda n: module(
        f"x = {{i: 1 for i in range({n})}}\ny = [x[i] for i in range({n})]\n")),
    "loops of a comprehension": (4, 256, lambda n: module("x = [1" + each(n, " for a%d in range(1)") + "]\n")),
    "conditions of a comprehension": (10, 5000, lambda n: module("x = [1 for a in range(1)" + " if 1" * n + "]\n")),
    "numbers that are sorted": (500, 32000, lambda n: module(f"x = sorted([i * 7919 % 65537 for i in range({n})])\n")),
    "items that are copied": (20, 1280, lambda n: module(
        f"y = [i for i in range(50)]\nfor i in range({n}):\n  x = y + [1]\n")),
    "letters that are copied": (500, 32000, lambda n: module(
        "x = '" + "a" * n + "'\nfor i in range(20):\n  y = x + 'a'\n")),
    "letters that are joined": (500, 16000, lambda n: module(f"x = ''\nfor i in range({n}):\n  x = 'a' + 'b'\n")),
    # statements
    "rounds of a loop": (1000, 100000, lambda n: module(f"x = 0\nfor i in range({n}):\n  x = x + 1\n")),
    "loops within loops": (2, 64, lambda n: module(nested(n, "for i in range(1):", "x = 1"))),
    "ifs within ifs": (2, 64, lambda n: module(nested(n, "if 1:", "x = 1"))),
    "branches of an if": (10, 10000, lambda n: module("x = 1\nif x == 2:\n  y = 1\n" + "elif x == 3:\n  y = 2\n" * n)),
    "targets of an assignment": (10, 20000, lambda n: module("x = " * n + "1\n")),
    "names that take a tuple": (10, 10000, lambda n: module(each(n, "a%d, ") + "= range(%d)\n" % n)),
    "imports": (10, 5000, lambda n: module("import torch\n" * n)),
    # From 20 on: at a dozen names tables double, which is a third of the work of ten.
    "names of an import": (20, 5000, lambda n: module(
        "from vortex_torch.indexer import Mean" + each(n, ", Mean as M%d") + "\n")),
    "asserts": (100, 12800, lambda n: module("assert 1, 'no'\n" * n)),
    # functions and classes
    "functions": (100, 6400, lambda n: module(each(n, "def f%d():\n  return 1\n"))),
    "functions within functions": (2, 64, lambda n: module(nested(n, "def f():", "return 1"))),
    "functions that call the next": (20, 640, lambda n: module(
        "def f0():\n  return 1\n" + "".join(f"def f{i + 1}():\n  return f{i}()\n" for i in range(n)) + f"f{n}()\n")),
    "calls of itself": (20, 640, lambda n: module(f"def f(n):\n  return f(n - 1) if n else 0\nf({n})\n")),
    "a chain of closures": (50, 3200, lambda n: module(
        "def f(g):\n  def h():\n    return 1\n  return h\ny = f\n" + "y = f(y)\n" * n + "y()\n")),
    "parameters": (100, 6400, lambda n: module("def f(" + each(n, "a%d=1, ") + "):\n  return 1\nf()\n")),
    "named arguments": (100, 6400, lambda n: module(
        "def f(" + each(n, "a%d=1, ") + "):\n  return 1\nf(" + each(n, "a%d=2, ") + ")\n")),
    "decorators": (10, 5000, lambda n: module("def d(f):\n  return f\n" + "@d\n" * n + "def g():\n  return 1\n")),
    "classes": (100, 6400, lambda n: module(each(n, "class A%d:\n  pass\n"))),
    "a chain of classes": (8, 4096, lambda n: module(
        "class A0:\n  pass\n" + "".join(f"class A{i + 1}(A{i}):\n  pass\n" for i in range(n)))),
    "parents of a class": (8, 4096, lambda n: module(
        each(n, "class A%d:\n  pass\n") + "class B(" + each(n, "A%d, ") + "):\n  pass\n")),
    "methods": (100, 6400, lambda n: module("class A:\n  x = 1\n" + each(n, "  def f%d(self):\n    return 1\n") + "A()\n")),
    "attributes": (100, 6400, lambda n: module(
        "class A:\n  def __init__(self):\n    x = 1\n" + each(n, "    self.a%d = 1\n") + "x = A()\n")),
    "instances": (100, 12800, lambda n: module(f"class A:\n  x = 1\ny = [A() for i in range({n})]\n")),
    # policies
    "policies": (4, 2048, lambda n: module(
        HEAD + "".join(f"@register('p{i}')\nclass P{i}(vFlow):\n  pass\n" for i in range(n)))),
    "operations": (8, 512, lambda n: policy(each(n, "    s = self.add%d(s, first, ctx=ctx)\n"), n)),
    "operations on one another": (8, 512, lambda n: policy(each(n, "    s = self.add%d(s, s, ctx=ctx)\n"), n)),
    "operations that nobody reads": (8, 512, lambda n: policy(each(n, "    t = self.add%d(s, first, ctx=ctx)\n"), n)),
    "fields": (8, 512, lambda n: policy("", fields=max(n, 1))),
    # configurations
    "keys of a configuration": (50, 1600, lambda n: config(each(n, '"k%d": 1, ') + '"z": 1')),
    "letters of a configuration": (2000, 64000, lambda n: config('"model_path": "' + "a" * n + '"')),
    "brackets of a configuration": (4, 20000, lambda n: config('"z": ' + "[" * n + "]" * n)),
    "layers to skip": (100, 6400, lambda n: config('"vortex_layers_skip": [' + ", ".join(["1"] * n) + "]")),
    "bytes of a schedule": (100, 6400, lambda n: schedule("return 40" + " " * n + ";")),
    "terms of a schedule": (10, 320, lambda n: schedule("return 40" + " + 1" * n + ";")),
    "brackets of a schedule": (4, 2048, lambda n: schedule("return " + "(" * n + "40" + ")" * n + ";")),
    "conditions of a schedule": (4, 256, lambda n: schedule("return " + "topk_val > 3 ? 40 : " * n + "41;")),
    "ifs of a schedule": (4, 128, lambda n: schedule("if (topk_val > 3) return 40; " * n + "return 41;")),
    "calls within calls of a schedule": (4, 512, lambda n: schedule("return " + "max(40, " * n + "41" + ")" * n + ";")),
    "locals of a schedule": (5, 160, lambda n: schedule(each(n, "int a%d = 1; ") + "return 40;")),
}


class Counter:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.valgrind = shutil.which("valgrind")
        self.counts = self.ask([program], [module("x = 1\n")])[0][0][1] >= 0

    def ask(self, command, sources):
        """([(the first error, the work) of each], what was written to stderr)"""
        paths = []
        for number, texts in enumerate(sources):
            for name, text in zip(("policy.py", "policy.json"), texts):
                paths.append(os.path.join(self.folder, f"{number}-{name}"))
                with open(paths[-1], "w", errors="surrogateescape") as file:
                    file.write(text)
        done = subprocess.run(command + paths, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"{command} failed: {done.stderr[-2000:]}")
        words = done.stdout.split()
        return list(zip(words[::2], map(int, words[1::2]))), done.stderr

    def count(self, sources):
        """[(the first error, the work)]"""
        if self.counts:
            return self.ask([self.program], sources)[0]
        counts = []
        for source in sources:
            out, log = self.ask([self.valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null",
                                 "--collect-atstart=no", "--toggle-collect=vortex::vflow::check_policy*",
                                 self.program], [source])
            counts.append((out[0][0], int(re.search(r"Collected\s*:\s*(\d+)", log).group(1))))
        return counts


def follow(counter, name, quick):
    """Counts at doubled sizes; the faults found."""
    first, last, make = DIMENSIONS[name]
    sizes = [first, 2 * first, 4 * first]
    (_, base), *counts = counter.count([make(size) for size in [0] + sizes])
    while 2 * sizes[-1] <= last and not (quick and counts[-1][1] > QUICK):
        sizes.append(2 * sizes[-1])
        counts += counter.count([make(sizes[-1])])
    faults = []
    for (size, (code, small)), (_, large) in zip(zip(sizes, counts), counts[1:]):
        grown, before = large - base, max(small - base, base)
        if grown > ALLOWED * before:
            faults.append(f"{name}: {2 * size} took {grown}, {size} took {small - base} ({code})")
    print(f"| {name} | {sizes[0]:,} to {sizes[-1]:,} | {counts[-1][0]} | " +
          ", ".join(f"{number / 1e6:.2f}" for _, number in counts) + " |", flush=True)
    return faults


def main():
    folder = tempfile.mkdtemp(prefix="vortex-linear-")
    try:
        counter = Counter(os.path.abspath(sys.argv[1]), folder)
        if not counter.counts and counter.valgrind is None:
            print("skipped: built without a count, and there is no valgrind")
            return 77
        quick = "quick" in sys.argv
        names = [name for name in sys.argv[2:] if name != "quick"] or DIMENSIONS
        print("| dimension | sizes | ends in | millions |\n|---|---|---|---|")
        faults = [fault for name in names for fault in follow(counter, name, quick)]
    finally:
        shutil.rmtree(folder)
    for fault in faults:
        print("FAILED:", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
