"""Measures a trained model: `python3 evaluate.py --model DIR --out evaluation.json [--size 16k]`.

Exact match is teacher-forced: every solution token is the most probable one given the right ones before it, which is
the case exactly when greedy decoding yields the whole solution. The answers are measured by greedy decoding.
"""
import argparse
import json
import time

import torch

import chain
import model as qwen3

SIZES = {"4k": [(96, 10), (300, 12), (780, 16)], "16k": [(780, 16), (3250, 16)]}
BUDGETS = {"4k": [4, 8, 16, 32, 48, 64, 96, 128], "16k": [8, 16, 32, 64, 128, 256, 512]}
DECODED = {"4k": [16, 32, 64], "16k": [32, 64, 128]}
DECODE_PROBLEMS = {"4k": 128, "16k": 32}
KINDS = ["block", "quest", "random"]
SEED = 20011
EACH_DENSE = ((), (0,), (1,), (2,), (3,))
LAST_DENSE = ((), (3,))


def settings(dense_layers, budgets):
    yield qwen3.PagePolicy("dense")
    for layers in dense_layers:
        for kind in KINDS:
            for pages in budgets:
                yield qwen3.PagePolicy(kind, pages, layers)


@torch.no_grad()
def exact_match(model, tokens, prompt, policy, dtype):
    right = 0
    for part in tokens.split(max(1, 131072 // tokens.shape[1])):
        logits, _ = model(part[:, :-1], prompt - 1, policy, dtype)
        right += (logits.argmax(-1) == part[:, prompt:]).all(1).sum().item()
    return right / len(tokens)


@torch.no_grad()
def decode(model, tokens, prompt, policies, dtype):
    """Greedy decoding after one dense prefill; yields for each policy (exact, answer right) shares."""
    batch, length = tokens.shape
    c = model.config
    shape = (batch, c["num_key_value_heads"], length, c["head_dim"])
    cache = [tuple(torch.zeros(shape, dtype=dtype, device=tokens.device) for _ in range(2))
             for _ in range(c["num_hidden_layers"])]
    model(tokens[:, :prompt - 1], prompt - 2, None, dtype, cache)
    for policy in policies:
        written, last = [], tokens[:, prompt - 1:prompt]
        for position in range(prompt - 1, length - 1):
            last = model(last, 0, policy, dtype, cache, position)[0].argmax(-1)
            written.append(last)
        right = torch.cat(written, 1) == tokens[:, prompt:]
        yield right.all(1).float().mean().item(), right[:, -5:].all(1).float().mean().item()


def report(folder, device, problems, out, size="4k"):
    model = qwen3.load(folder).to(device)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(SEED)
    rows, decoded, started = [], [], time.time()
    vocabulary, decode_problems = model.config["vocab_size"], DECODE_PROBLEMS[size]
    for definitions, length in reversed(SIZES[size]):
        hardest = definitions == SIZES[size][-1][0]
        rng = torch.Generator(device).manual_seed(SEED)
        tokens = chain.sample(problems, definitions, length, rng, chain_first=True, vocabulary=vocabulary)
        spread = chain.sample(problems, definitions, length, rng, vocabulary=vocabulary)
        prompt = chain.prompt_length(definitions)
        layers = ((),) if not hardest else LAST_DENSE if size == "4k" else EACH_DENSE
        for policy in settings(layers, BUDGETS[size]):
            rows.append({"N": definitions, "C": length, "policy": policy.kind, "pages": policy.pages,
                         "dense_layers": list(policy.dense_layers),
                         "exact": exact_match(model, tokens, prompt, policy, dtype)})
            if policy.kind == "dense":
                rows[-1]["exact_chain_spread"] = exact_match(model, spread, prompt, policy, dtype)
            print(rows[-1], flush=True)
        if hardest:
            policies = list(settings(((),), DECODED[size]))
            results = decode(model, tokens[:decode_problems], prompt, policies, dtype)
            for policy, (exact, answer) in zip(policies, results):
                decoded.append({"N": definitions, "C": length, "policy": policy.kind, "pages": policy.pages,
                                "exact": exact, "answer": answer})
                print("decoded", decoded[-1], flush=True)
        with open(out, "w") as file:
            json.dump({"problems": problems, "rows": rows, "decode_problems": decode_problems, "decoded": decoded},
                      file, indent=1)
        print(f"N={definitions} evaluated, {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=".")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--problems", type=int, default=256)
    parser.add_argument("--size", choices=SIZES, default="4k")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    report(args.model, args.device, args.problems, args.out, args.size)
