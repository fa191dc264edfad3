"""Trains the chain model on one GPU within a given time: `python3 train.py --minutes 7 --out DIR`.

Curriculum over problem sizes, Muon on the matrices, AdamW on embedding and norms, loss on solution tokens only. From
--sparse-from on, a share of the steps attends to selected pages in the solution, so that the model learns to live with
page selection; see README.md.
"""
import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F

import chain
import evaluate
import model as qwen3

SMALL = [(6, 2), (8, 3), (12, 4), (16, 5), (24, 6), (36, 8), (60, 8), (96, 10), (150, 12), (300, 12), (500, 14),
         (780, 16)]
LEVELS = {"4k": SMALL, "16k": SMALL + [(1200, 16), (1800, 16), (2500, 16), (3250, 16)]}
VOCABULARY = {"4k": 1024, "16k": 4096}
POSITIONS = {"4k": 8192, "16k": 32768}


class Muon:
    """Momentum with orthogonalised updates (K. Jordan et al., 2024), batched over matrices of one shape."""

    def __init__(self, parameters, lr, momentum=0.95):
        self.base_lr = self.lr = lr
        self.momentum = momentum
        shapes = sorted({tuple(p.shape) for p in parameters})
        self.groups = [[p for p in parameters if tuple(p.shape) == shape] for shape in shapes]
        self.buffers = [torch.zeros_like(torch.stack([p.detach() for p in group])) for group in self.groups]

    @torch.no_grad()
    def step(self):
        for group, buffer in zip(self.groups, self.buffers):
            gradient = torch.stack([p.grad for p in group])
            buffer.mul_(self.momentum).add_(gradient)
            update = orthogonalise(gradient.add_(buffer, alpha=self.momentum)).to(buffer.dtype)
            rows, columns = update.shape[1:]
            scale = self.lr * max(1, rows / columns)**0.5
            torch._foreach_add_(group, list(update.unbind()), alpha=-scale)


def orthogonalise(x):
    """Five quintic Newton-Schulz steps towards the nearest orthogonal matrix of each x[i]."""
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.transpose(1, 2) if tall else x


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="folder of a trained model to go on from; its vocabulary may be smaller")
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=LEVELS, default="4k")
    parser.add_argument("--levels", type=int, help="use only the first levels")
    parser.add_argument("--first-level", type=int, help="where the curriculum begins (0; with --init the last)")
    parser.add_argument("--tokens", type=int, default=131072, help="tokens a step")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=640)
    parser.add_argument("--theta", type=float, default=1000000)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--decay-from", type=float, default=0.5, help="fraction of the time")
    parser.add_argument("--sparse-from", type=float, default=0.4, help="fraction of the time")
    parser.add_argument("--sparse-share", type=float, default=0.5)
    parser.add_argument("--widest-share", type=float, default=0.5, help="of the pages that a sparse step chooses")
    parser.add_argument("--dense-layer-share", type=float, default=2 / 3, help="of sparse steps: one layer stays dense")
    parser.add_argument("--page-loss", type=float, default=0.5, help="weight while narrow budgets fail")
    parser.add_argument("--narrow-target", type=float, default=0.8, help="exact match that counts as no failure")
    parser.add_argument("--problems", type=int, default=256, help="evaluation problems a setting")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def draw_level(top, levels):
    """A problem size: mostly the hardest level reached, else a random one between two easier neighbours."""
    if top == 0 or random.random() < 0.6:
        return levels[top], True
    i = random.randrange(top)
    (low, _), (high, chain_high) = levels[i], levels[i + 1]
    definitions = random.randint(low, high)
    return (definitions, random.randint(2, min(chain_high, definitions))), False


def draw_policy(definitions, page_loss, widest_share, dense_layer_share):
    """Block top-k or Quest with a log-uniform share of the pages from 1/32 to widest_share, and that share."""
    share = math.exp(random.uniform(math.log(1 / 32), math.log(widest_share)))
    pages = max(1, round(share * chain.prompt_length(definitions) / qwen3.PAGE))
    dense_layers = random.choice([(0,), (3,)]) if random.random() < dense_layer_share else ()
    return qwen3.PagePolicy(random.choice(["block", "quest"]), pages, dense_layers, page_loss), share


class Progress:
    """Running means that decide the curriculum and the page loss; read rarely, since reading waits for the device."""

    def __init__(self, device, top):
        self.top, self.since = top, 0
        self.token = torch.zeros((), device=device)
        self.narrow = torch.zeros((), device=device)
        self.page_loss = True

    def read(self, levels, target):
        if self.since >= 15 and self.token.item() > 0.95 and self.top + 1 < len(levels):
            self.top, self.since = self.top + 1, 0
            self.token.zero_()
            self.narrow.zero_()
        self.page_loss = self.narrow.item() < target


def train(args):
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    device = torch.device(args.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rng = torch.Generator(device).manual_seed(args.seed)
    vocabulary = VOCABULARY[args.size]
    sizes = dict(vocab_size=vocabulary, max_position_embeddings=POSITIONS[args.size])
    config = dict(qwen3.CONFIG, hidden_size=args.hidden, num_hidden_layers=args.layers, intermediate_size=args.ffn,
                  rope_theta=args.theta, **sizes)
    model = (qwen3.load(args.init, **sizes) if args.init else qwen3.Qwen3(config)).to(device)
    if args.compile:
        model.project = torch.compile(qwen3.project, dynamic=True)
        model.finish = torch.compile(qwen3.finish, dynamic=True)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    muon = Muon(matrices, args.muon_lr)
    adam = torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    levels = LEVELS[args.size][:args.levels]
    first = args.first_level if args.first_level is not None else len(levels) - 1 if args.init else 0
    progress = Progress(device, first)
    log = open(os.path.join(args.out, "train_log.jsonl"), "w")
    start, step, tokens_seen, saved = time.time(), 0, 0, 0
    while (fraction := (time.time() - start) / (60 * args.minutes)) < 1:
        (definitions, length), is_top = draw_level(progress.top, levels)
        prompt = chain.prompt_length(definitions)
        budget = args.tokens if definitions >= 60 else args.tokens // 2
        batch = max(2, budget // (prompt + chain.solution_length(length)))
        tokens = chain.sample(batch, definitions, length, rng, chain_first=random.random() < 0.5,
                              vocabulary=vocabulary)
        policy, share = None, 1
        if fraction > args.sparse_from and random.random() < args.sparse_share:
            policy, share = draw_policy(definitions, progress.page_loss, args.widest_share, args.dense_layer_share)
        rate = min(1, (step + 1) / 50) * (1 if fraction < args.decay_from
                                          else max(0.01, (1 - fraction) / (1 - args.decay_from)))
        muon.lr = muon.base_lr * rate
        adam.param_groups[0]["lr"] = args.adam_lr * rate
        logits, page_loss = model(tokens[:, :-1], prompt - 1, policy, dtype)
        target = tokens[:, prompt:]
        loss = token_loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        if page_loss is not None:
            loss = loss + args.page_loss * page_loss
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        step, tokens_seen = step + 1, tokens_seen + tokens.numel()
        with torch.no_grad():
            right = logits.argmax(-1) == target
            if is_top and policy is None:
                progress.token.lerp_(right.float().mean(), 0.1)
                progress.since += 1
            elif is_top and share < 1 / 8:
                progress.narrow.lerp_(right.all(1).float().mean(), 0.1)
        if step % 10 == 0:
            progress.read(levels, args.narrow_target)
        if step % 50 == 0:
            half = 5 * length
            record = {"step": step, "seconds": round(time.time() - start, 1), "mtokens": round(tokens_seen / 1e6, 1),
                      "top": levels[progress.top], "N": definitions, "C": length, "share": round(share, 3),
                      "policy": policy.kind if policy else "dense", "loss": round(token_loss.item(), 4),
                      "page_loss": round(page_loss.item(), 3) if page_loss is not None else None,
                      "walk": round(right[:, :half].float().mean().item(), 4),
                      "sums": round(right[:, half:].float().mean().item(), 4),
                      "exact": round(right.all(1).float().mean().item(), 3),
                      "top_token": round(progress.token.item(), 4), "narrow": round(progress.narrow.item(), 3)}
            log.write(json.dumps(record) + "\n")
            log.flush()
            print(record, flush=True)
        if time.time() - start > 60 * (saved + 1):
            saved += 1
            qwen3.save(model, args.out)
    log.close()
    print(f"{step} steps, {tokens_seen / 1e6:.1f}M tokens", flush=True)
    return model


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    chain.write_tokenizer(os.path.join(args.out, "tokenizer.json"), VOCABULARY[args.size])
    qwen3.save(train(args), args.out)
    evaluate.report(args.out, args.device, args.problems, os.path.join(args.out, "evaluation.json"),
                    args.size)


if __name__ == "__main__":
    main()
