#!/usr/bin/env python3
"""What scripts/gpu.sh tensor came to, beside what is asked of it.

  scripts/tensor_summary.py FOLDER             reads engine.json and all_reduce.json there (what is missing is said) and
                                               writes tensor.json
  scripts/tensor_summary.py --shapes FILE GEOMETRY   the shapes of the last measurement in an engine.json, for the next
                                               one; nothing if it was of another geometry

Figures that something is asked of end in `ok` or `MISSED (what is asked)`. Steps are medians; "limit" is the least time
by docs/tensor-parallel.md's limit model, with the exchanges' own.
"""
import argparse
import json
import pathlib
import re
import sys

# Microseconds of a prototype of the same kernels between H100s (docs/benchmarks/tensor-parallel.md), by cards and size.
PROTOTYPE = {2: {'8K': 1.77, '64K': 2.01, '256K': 2.65, '512K': 3.45, '1M': 4.88, '2M': 7.8, '8M': 26.0},
             4: {'8K': 2.34, '64K': 2.90, '256K': 4.52, '512K': 5.43, '1M': 7.0, '2M': 11.9, '8M': 39.5}}
NCCL_UP_TO_64K, NCCL_AT_512K, PROTOTYPE_TIMES, FUSED_TIMES = 3.0, 2.5, 1.15, 1.15
STEP_TIMES = {'minimax-m2': 1.35, 'qwen3-32b': 1.25}
LIMIT_SHARE, ONE_CARD_TIMES, PAPER = 0.8, 1.8, 1.37


def objects_of(path):
    """JSON objects one after the other."""
    if not path.exists():
        return []
    text, at, found = path.read_text(), 0, []
    decoder = json.JSONDecoder()
    while (at := next((i for i in range(at, len(text)) if not text[i].isspace()), len(text))) < len(text):
        one, at = decoder.raw_decode(text, at)
        found.append(one)
    return found


class Table:
    def __init__(self):
        self.records = []

    def add(self, text, value=None, asked=None, at_most=False, **more):
        """A line; `asked` is what `value` must reach, or with `at_most` must not exceed."""
        good = None
        if asked is not None:
            good = value <= asked if at_most else value >= asked
            text += '  ok' if good else f'  MISSED ({"at most" if at_most else "at least"} {asked:g})'
        print(text)
        self.records.append(dict(text=text, value=value, asked=asked, good=good, **more))


def kilobytes(size):
    return int(size[:-1]) * (1024 if size.endswith('M') else 1)


def exchanges(measurements, table):
    by_shape = {}
    for m in measurements:
        by_shape.setdefault((m['kernel'], m['shape']), {})[m['variant']] = m['median_us']
    for (kernel, shape), variants in by_shape.items():
        ours = next((us for name, us in variants.items() if name not in ('NCCL', 'two nodes')), None)
        if ours is None:
            continue
        cards, size = shape.split(' cards ')
        line = f'{kernel:16} {shape:16} {ours:7.2f} us'
        if kernel == 'all_reduce':
            nccl, prototype = variants.get('NCCL'), PROTOTYPE.get(int(cards), {}).get(size)
            if prototype:
                table.add(f'{line}, prototype {prototype:.2f}: {ours / prototype:.2f}', ours / prototype, PROTOTYPE_TIMES, True)
            if nccl:
                asked = NCCL_UP_TO_64K if kilobytes(size) <= 64 else NCCL_AT_512K if kilobytes(size) <= 512 else None
                table.add(f'{line}, NCCL {nccl:.2f}: {nccl / ours:.2f} times as fast', nccl / ours, asked)
            elif not prototype:
                table.add(line, ours)
        elif 'two nodes' in variants:
            rows = int(size.split('x')[0])
            share = ours / variants['two nodes']
            table.add(f'{line}, two nodes {variants["two nodes"]:.2f}: {share:.2f}', share, 1.0 if rows == 64 else FUSED_TIMES, True)
        else:
            table.add(line, ours)


def steps_of(runs):
    """(geometry, ranks, shape, policy) -> seconds, limit, seconds without exchanges."""
    steps = {}
    for run in runs:
        device, _, geometry = run['device'].rpartition('; ')
        ranks = re.match(r'(\d+) ranks', device)
        ranks = int(ranks.group(1)) if ranks else 1
        geometry = geometry.split(',')[0]
        policy = None
        for line in run['lines']:
            if line.get('what') == 'step':
                policy = line['policy']
                kind = 'dense' if policy.startswith('dense') else 'sparse'
                steps[geometry, ranks, line['shape'], kind] = dict(
                    seconds=line['median_s'], limit=line['bytes'] / run['copy_bytes_per_s'], tokens=line['tokens_per_s'])
            elif line.get('what') == '- exchange':
                steps[geometry, ranks, line['shape'], kind]['alone'] = line['median_s']
            elif line.get('name', '').endswith(' limit with exchanges'):
                steps[geometry, ranks, line['name'].split()[0], kind]['limit'] = line['value'] * 1e-3
    return steps


def steps(runs, table):
    found = steps_of(runs)
    for (geometry, ranks, shape, kind), step in found.items():
        if ranks == 1:
            continue
        share = f', {100 * (1 - step["alone"] / step["seconds"]):.0f} % exchanges' if 'alone' in step else ''
        times = step['seconds'] / step['limit']
        table.add(f'{geometry} {ranks} ranks {shape} {kind}: {1e3 * step["seconds"]:.2f} ms{share}, {times:.2f} x limit', times,
                  STEP_TIMES.get(geometry), True)
        one = found.get((geometry, 1, shape, kind))
        if one:
            speed = one['seconds'] / step['seconds']
            table.add(f'  one card {1e3 * one["seconds"]:.2f} ms: {speed:.2f} times as fast', speed,
                      ONE_CARD_TIMES if geometry in STEP_TIMES else None)
        dense = found.get((geometry, ranks, shape, 'dense'))
        if kind == 'sparse' and dense:
            speed, most = dense['seconds'] / step['seconds'], dense['limit'] / step['limit']
            asked = geometry == 'minimax-m2'
            table.add(f'  over dense {speed:.2f} x, the limit\'s {most:.2f} x: {100 * speed / most:.0f} % of it', speed / most,
                      LIMIT_SHARE if asked else None)
            if asked and shape.endswith('x16384'):
                table.add(f'  at 16K {speed:.2f} x', speed, PAPER)


def words(runs, table):
    for run in runs:
        for line in run['lines']:
            if ' ranks, ' in line.get('name', '') or line.get('name', '').startswith('one device, '):
                table.add(f'{line["name"]}: {line["value"]:.5g} {line["unit"]}', line['value'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shapes', action='store_true')
    parser.add_argument('path', type=pathlib.Path)
    parser.add_argument('geometry', nargs='?')
    arguments = parser.parse_args()
    if arguments.shapes:
        last = objects_of(arguments.path)[-1]
        if f'; {arguments.geometry},' not in last['device']:
            sys.exit(1)
        print(*dict.fromkeys(line['shape'] for line in last['lines'] if line.get('what') == 'step'))
        return
    table = Table()
    times = objects_of(arguments.path / 'all_reduce.json')
    runs = objects_of(arguments.path / 'engine.json')
    for name, what in (('all_reduce.json', times), ('engine.json', runs)):
        if not what:
            print(f'{name} is not there')
    for one in times:
        exchanges(one['measurements'], table)
    steps(runs, table)
    words(runs, table)
    missed = sum(record['good'] is False for record in table.records)
    print(f'{sum(record["good"] is True for record in table.records)} as asked, {missed} missed')
    (arguments.path / 'tensor.json').write_text(json.dumps(table.records, indent=1))


if __name__ == '__main__':
    sys.exit(main())
