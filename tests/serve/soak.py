#!/usr/bin/env python3
"""Clients of every kind against a server. usage: soak.py BASE_URL SERVER_PID MINUTES CLIENTS PROMPT_FILE"""
import asyncio
import collections
import json
import os
import random
import sys
import time
import urllib.parse
import urllib.request

base, pid, minutes, clients = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
prompt = open(sys.argv[5]).read().strip()
address = urllib.parse.urlparse(base)
HOST, PORT = address.hostname, address.port
POLICIES = ['block_topk', 'dense']
MEMORY_SLACK = 64 << 20  # bytes: what an allocator keeps back
counts = collections.Counter()
faults = []


def metric(name):
    text = urllib.request.urlopen(f'http://{HOST}:{PORT}/metrics', timeout=60).read().decode()
    return [float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + '{')]


def memory():
    return int(open(f'/proc/{pid}/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def descriptors():
    return len(os.listdir(f'/proc/{pid}/fd'))


def request(policy, tokens, stream, words=40):
    body = json.dumps({'model': policy, 'prompt': ' '.join(prompt.split()[:words]), 'max_tokens': tokens,
                       'temperature': 0, 'ignore_eos': True, 'stream': stream}).encode()
    return head(len(body)) + body


def head(size):
    return (f'POST /v1/completions HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Type: application/json\r\n'
            f'Connection: close\r\nContent-Length: {size}\r\n\r\n').encode()


async def opened():
    return await asyncio.wait_for(asyncio.open_connection(HOST, PORT), 60)


async def answer(policy, tokens, stream, words):
    """The text of a whole exchange; None where the server had no room."""
    reader, writer = await opened()
    writer.write(request(policy, tokens, stream, words))
    data = await asyncio.wait_for(reader.read(), 300)
    writer.close()
    status, _, rest = data.partition(b'\r\n\r\n')
    code = int(status.split()[1])
    if code == 429:
        return None
    if code != 200:
        raise AssertionError(f'status {code}: {rest[:200]}')
    if not stream:
        return json.loads(rest)['choices'][0]['text']
    lines = [line[6:] for line in rest.split(b'\n') if line.startswith(b'data: ')]
    if not lines or lines[-1].strip() != b'[DONE]':
        raise AssertionError('a stream without its end')
    return ''.join(json.loads(line)['choices'][0]['text'] for line in lines[:-1])


async def good(rng, expected):
    key = (rng.choice(POLICIES), rng.choice([5, 20, 40]), rng.choice([20, 40, 80]))
    text = await answer(key[0], key[1], rng.random() < 0.5, key[2])
    if text is None:
        counts['told to try again'] += 1
    elif text != expected[key]:
        faults.append(f'{key}: other tokens')
    else:
        counts['good'] += 1


async def hangs_up(rng, expected):
    reader, writer = await opened()
    writer.write(request(rng.choice(POLICIES), 2000, rng.random() < 0.5))
    if rng.random() < 0.7:
        try:
            await asyncio.wait_for(reader.read(rng.randrange(1, 2000)), rng.random() * 2)
        except asyncio.TimeoutError:
            pass
    writer.transport.abort() if rng.random() < 0.5 else writer.close()


async def stalls(rng, expected):
    _, writer = await opened()
    whole = request('dense', 5, False)
    writer.write(whole[:rng.randrange(1, len(whole))])
    await asyncio.sleep(rng.random() * 5)
    writer.close()


async def reads_slowly(rng, expected):
    reader, writer = await opened()
    writer.write(request(rng.choice(POLICIES), 300, True))
    for _ in range(rng.randrange(1, 20)):
        if not await asyncio.wait_for(reader.read(64), 120):
            break
        await asyncio.sleep(rng.random() * 0.2)
    writer.close()


async def garbage(rng, expected):
    reader, writer = await opened()
    kind = rng.randrange(4)
    if kind == 0:
        writer.write(rng.randbytes(rng.randrange(1, 5000)))
    elif kind == 1:
        body = rng.randbytes(rng.randrange(1, 2000))
        writer.write(head(len(body)) + body)
    elif kind == 2:
        body = (b'{"prompt": ' + b'[' * rng.randrange(1, 50000))
        writer.write(head(len(body)) + body)
    else:
        writer.write(b'GET /' + b'a' * rng.randrange(1, 100000) + b' HTTP/1.1\r\n\r\n')
    try:
        await asyncio.wait_for(reader.read(300), 2)
    except (asyncio.TimeoutError, ConnectionError):
        pass
    writer.close()


async def huge(rng, expected):
    reader, writer = await opened()
    size = rng.choice([7 << 20, 9 << 20, 1 << 33])
    writer.write(head(size))
    for _ in range(min(size, 9 << 20) >> 20):
        writer.write(b' ' * (1 << 20))
        await writer.drain()
    writer.close()


KINDS = [(good, 10), (hangs_up, 5), (stalls, 2), (reads_slowly, 2), (garbage, 3), (huge, 1)]


async def client(number, expected, end):
    rng = random.Random(number)
    while time.monotonic() < end and len(faults) < 20:
        kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        counts[kind.__name__ + ' begun'] += 1
        try:
            await kind(rng, expected)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if kind is good:
                faults.append(f'a good request: {error!r}')
        except Exception as error:  # whatever it is, it is told
            faults.append(f'{kind.__name__}: {error!r}')


async def settle():
    for _ in range(1200):
        busy = sum(metric('vllm:num_requests_running')) + sum(metric('vllm:num_requests_waiting'))
        if busy == 0 and metric('vortex:kv_pages') == metric('vortex:kv_pages_free'):
            return
        await asyncio.sleep(0.1)
    faults.append('requests or pages are left')


async def soak(seconds, expected):
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(number, expected, end) for number in range(clients)))
    await settle()
    await asyncio.sleep(2)
    return memory(), descriptors()


async def main():
    expected = {}
    for policy in POLICIES:
        for tokens in (5, 20, 40):
            for words in (20, 40, 80):
                expected[policy, tokens, words] = await answer(policy, tokens, False, words)
    before = descriptors()
    first = min(60, minutes * 60 / 4)
    warm = await soak(first, expected)
    after = await soak(minutes * 60 - first, expected)
    for name, count in sorted(counts.items()):
        print(f'{name}: {count}')
    print(f'memory: {warm[0] >> 20} MiB after the first part, {after[0] >> 20} MiB at the end')
    print(f'descriptors: {before} before, {warm[1]} after the first part, {after[1]} at the end')
    if after[0] > warm[0] + MEMORY_SLACK:
        faults.append('memory grows')
    if after[1] > before:
        faults.append('descriptors are left')
    if counts['good'] == 0:
        faults.append('nobody was answered')
    for fault in faults:
        print('FAILED: ' + fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


asyncio.run(main())
