#!/usr/bin/env python3
"""Starts `vortex serve` as a user would, asks it what clients ask, ends it by SIGTERM, and says what was seen in a table.

usage: scripts/serve_check.py BIN MODEL DEVICE [POLICY.py] [--seconds 60] [--concurrent 32] [--serve "OPTIONS"]
  BIN     the folder with vortex, vortex-serve and vortex-bench-load
  MODEL   the model's folder
  DEVICE  cuda or cpu
Exit code 0 where every line of the table is as it should be. Nothing goes on for longer than --seconds.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

arguments = argparse.ArgumentParser()
arguments.add_argument('bin')
arguments.add_argument('model')
arguments.add_argument('device')
arguments.add_argument('policy', nargs='?', default='examples/policies/block_topk.py')
arguments.add_argument('--seconds', type=float, default=60)
arguments.add_argument('--concurrent', type=int, default=32)
arguments.add_argument('--prompt', type=int, default=500, help='tokens of a prompt of the load')
arguments.add_argument('--output', type=int, default=64, help='tokens of an answer of the load')
arguments.add_argument('--serve', default='', help='more options of vortex serve')
args = arguments.parse_args()

ends_at = time.monotonic() + args.seconds
config = json.load(open(os.path.join(args.model, 'config.json')))
vocab = config['vocab_size']
name = os.path.basename(os.path.realpath(args.model))
policy = os.path.splitext(os.path.basename(args.policy))[0]
rows = []
server = None
url = None


def left():
    seconds = ends_at - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(f'more than {args.seconds:.0f} s')
    return seconds


def connection():
    return http.client.HTTPConnection(url.hostname, url.port, timeout=left())


def get(path):
    ask = connection()
    ask.request('GET', path)
    answer = ask.getresponse()
    return answer.status, answer.read().decode()


def post(path, body):
    ask = connection()
    ask.request('POST', '/v1' + path, json.dumps(body), {'Content-Type': 'application/json'})
    answer = ask.getresponse()
    return answer.status, json.loads(answer.read())


def stream(path, body, most=None):
    """(status, [(seconds, chunk)], whether [DONE] came); hangs up after `most` chunks."""
    start = time.monotonic()
    ask = connection()
    ask.request('POST', '/v1' + path, json.dumps({**body, 'stream': True}), {'Content-Type': 'application/json'})
    answer = ask.getresponse()
    if answer.status != 200:
        return answer.status, [(0, json.loads(answer.read()))], False
    chunks = []
    for line in answer:
        if not line.startswith(b'data: '):
            continue
        if line.strip() == b'data: [DONE]':
            return 200, chunks, True
        chunks.append((time.monotonic() - start, json.loads(line[6:])))
        if most is not None and len(chunks) >= most:
            ask.sock.close() if ask.sock else None
            answer.close()
            break
    return 200, chunks, False


def metric(wanted, label=''):
    """The values of a metric, added up over its labels; of those lines alone that have `label`."""
    lines = get('/metrics')[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines
               if line.split('{')[0].split(' ')[0] == wanted and label in line)


def row(what, seen, good):
    rows.append((what, str(seen).replace('\n', ' '), bool(good)))
    print(f'{"ok  " if good else "BAD "} {what}: {seen}', file=sys.stderr, flush=True)


def prompt_of(seed, tokens):
    draw = random.Random(seed)
    return [draw.randrange(16, min(vocab, 1000)) for _ in range(tokens)]


def completion(seed, tokens, lane, more=None):
    body = {'model': f'{name}:{lane}', 'prompt': prompt_of(seed, tokens), 'max_tokens': 24, 'temperature': 0,
            'ignore_eos': True, **(more or {})}
    status, answer = post('/completions', body)
    if status != 200:
        raise AssertionError(f'status {status}: {answer}')
    return answer['choices'][0]['text']


def start(folder):
    command = [os.path.join(args.bin, 'vortex'), 'serve', args.model, '--device', args.device, '--policy', args.policy,
               '--port', '0', *shlex.split(args.serve)]
    begin = time.monotonic()
    out = open(os.path.join(folder, 'out'), 'w+')
    err = open(os.path.join(folder, 'err'), 'w+')
    global server, url
    server = subprocess.Popen(command, stdout=out, stderr=err)
    while True:
        out.seek(0)
        text = out.read()
        if text.endswith('\n'):
            break
        if server.poll() is not None or left() < 1:
            err.seek(0)
            raise AssertionError(f'it did not start (exit code {server.poll()}): {err.read()}')
        time.sleep(0.05)
    url = urllib.parse.urlparse(text.strip())
    seconds = time.monotonic() - begin
    for _ in range(100):  # the line that names the device comes behind the address
        err.seek(0)
        said = err.read().strip()
        if ' on ' in said:
            break
        time.sleep(0.05)
    where = said.split(' on ')[-1].split(';')[0]
    row('start until it listens', f'{seconds:.1f} s, on {where}', (where == 'CPU') == (args.device == 'cpu'))


def look_around():
    status, text = get('/health')
    row('/health', f'{status} {text.strip()}', status == 200)
    status, text = get('/v1/models')
    ids = [model['id'] for model in json.loads(text)['data']]
    row('/v1/models', ', '.join(ids), status == 200 and any(policy in one for one in ids))


def chat():
    messages = [{'role': 'user', 'content': 'Why is the sky blue? Answer in one sentence.'}]
    for lane in ('dense', policy):
        status, chunks, done = stream('/chat/completions', {
            'model': f'{name}:{lane}', 'messages': messages, 'max_tokens': 60, 'temperature': 0,
            'stream_options': {'include_usage': True}})
        if status == 400 and 'template' in json.dumps(chunks):
            row(f'chat, {lane}', 'the model has no chat template', True)
            continue
        if status != 200:
            row(f'chat, {lane}', f'{status} {chunks}', False)
            continue
        text = ''.join(c['choices'][0]['delta'].get('content') or '' for _, c in chunks if c['choices'])
        ends = [c['choices'][0]['finish_reason'] for _, c in chunks if c['choices']]
        usage = chunks[-1][1].get('usage') or {}
        first = next((at for at, c in chunks if c['choices'] and c['choices'][0]['delta'].get('content')), 0)
        row(f'chat as a stream, {lane}',
            f'first text after {first * 1000:.0f} ms, all after {chunks[-1][0] * 1000:.0f} ms, {len(chunks)} chunks, '
            f'{usage.get("prompt_tokens")} + {usage.get("completion_tokens")} tokens, ends {ends[-1]}: "{text}"',
            done and text and ends[-1] in ('stop', 'length') and ends[:-1] == [None] * (len(ends) - 1)
            and usage.get('completion_tokens', 0) > 0)


def seed_and_log_probs():
    body = {'model': f'{name}:{policy}', 'prompt': prompt_of(1, 200), 'max_tokens': 20, 'temperature': 0.8, 'seed': 7,
            'logprobs': 3}
    answers = [post('/completions', body) for _ in range(2)]
    other = post('/completions', {**body, 'seed': 8})
    texts = [answer['choices'][0]['text'] for _, answer in answers]
    said = answers[0][1]['choices'][0]['logprobs']
    probs = said['token_logprobs']
    row('completion with a seed, twice', 'the same text' if texts[0] == texts[1] else texts, texts[0] == texts[1])
    row('another seed', 'another text' if other[1]['choices'][0]['text'] != texts[0] else 'the same text',
        other[1]['choices'][0]['text'] != texts[0])
    row('its log-probabilities', f'{len(probs)} tokens, mean {sum(probs) / len(probs):.2f}, {len(said["top_logprobs"][0])} '
        'beside each', len(probs) == answers[0][1]['usage']['completion_tokens'] and max(probs) <= 0
        and all(len(top) >= 3 for top in said['top_logprobs']))


def company():
    kinds = [(seed, tokens, lane) for lane in ('dense', policy) for seed, tokens in ((2, 30), (3, 150), (4, 400), (5, 7))]
    alone = {kind: completion(*kind) for kind in kinds}
    asked = [kinds[i % len(kinds)] for i in range(args.concurrent)]
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.concurrent) as pool:
        texts = list(pool.map(lambda kind: completion(*kind), asked))
    wrong = sum(text != alone[kind] for kind, text in zip(asked, texts))
    row(f'{args.concurrent} at once, greedy', f'{wrong} with another text than alone, {time.monotonic() - begin:.2f} s',
        wrong == 0)


def hang_up():
    body = {'model': f'{name}:{policy}', 'prompt': prompt_of(6, 100), 'max_tokens': 1500, 'ignore_eos': True}
    aborts = ('vllm:request_success_total', 'finished_reason="abort"')
    before = metric(*aborts)
    stream('/completions', body, most=3)
    begin = time.monotonic()
    gone = False
    while not gone and time.monotonic() - begin < 5:
        time.sleep(0.02)
        gone = metric(*aborts) == before + 1 and metric('vllm:num_requests_running') == 0
    row('a client that hangs up', f'given up after {time.monotonic() - begin:.2f} s', gone)


def load():
    # On a GPU the first requests of a size wait for the products of that size to be tuned: what counts is the second run.
    for lane in ('dense', policy) * (2 if args.device == 'cuda' else 1):
        command = [os.path.join(args.bin, 'vortex-bench-load'), url.geturl(), '--model', f'{name}:{lane}', '--vocab',
                   str(vocab), '--lowest-token', '16', '--requests', str(args.concurrent), '--rate', '0', '--prompt',
                   str(args.prompt), '--output', str(args.output), '--format', 'json']
        ran = subprocess.run(command, capture_output=True, text=True, timeout=left())
        if ran.returncode != 0:
            row(f'load, {lane}', f'{ran.returncode}: {ran.stderr or ran.stdout}', False)
            continue
        told = json.loads(ran.stdout)
        first, between = told['ttft_seconds'], told['tpot_seconds']
        row(f'{args.concurrent} requests of {args.prompt} + {args.output} at once, {lane}',
            f'{told["ended"]} ended, {told["failed"]} failed, {told["seconds"]:.2f} s; first token P50 '
            f'{first["p50"]:.2f}, P95 {first["p95"]:.2f} s; a token after it P50 {between["p50"] * 1000:.1f}, P95 '
            f'{between["p95"] * 1000:.1f} ms', told['ended'] == args.concurrent and told['failed'] == 0)


def metrics():
    taken = metric('vortex:kv_pages') - metric('vortex:kv_pages_free')
    told = {name: metric(f'vllm:{name}') for name in ('prompt_tokens_total', 'generation_tokens_total',
                                                      'request_success_total', 'num_requests_running')}
    row('/metrics', ', '.join(f'{key} {value:.0f}' for key, value in told.items()) + f', pages taken {taken:.0f}',
        taken == 0 and told['num_requests_running'] == 0 and told['generation_tokens_total'] > 0)


def end():
    body = {'model': f'{name}:dense', 'prompt': prompt_of(9, 50), 'max_tokens': 200, 'ignore_eos': True, 'temperature': 0}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, '/completions', body)
        while metric('vllm:num_requests_running') == 0 and not running.done():
            time.sleep(0.01)
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        status, answer = running.result(timeout=left())
        code = server.wait(timeout=left())
    produced = answer.get('usage', {}).get('completion_tokens')
    row('SIGTERM while one decodes', f'it ends with {produced} tokens, the server after {time.monotonic() - begin:.2f} s '
        f'with exit code {code}', status == 200 and produced == 200 and code == 0)


def main():
    with tempfile.TemporaryDirectory() as folder:
        try:
            start(folder)
            for part in (look_around, chat, seed_and_log_probs, company, hang_up, load, metrics, end):
                begin = time.monotonic()
                try:
                    part()
                except Exception as error:  # the next part may still say something
                    row(part.__name__, f'{type(error).__name__}: {error}', False)
                print(f'     ({part.__name__}: {time.monotonic() - begin:.1f} s)', file=sys.stderr, flush=True)
        except Exception as error:
            row('the server', f'{type(error).__name__}: {error}', False)
        finally:
            if server is not None and server.poll() is None:
                server.kill()
                server.wait()
            with open(os.path.join(folder, 'err')) as err:
                said = err.read().strip()
    print('| | seen | |\n|---|---|---|')
    for what, seen, good in rows:
        print(f'| {what} | {seen.replace("|", "/")} | {"as it should be" if good else "**not so**"} |')
    if not all(good for _, _, good in rows):
        print(f'\nThe server said:\n{said}')
        sys.exit(1)


main()
