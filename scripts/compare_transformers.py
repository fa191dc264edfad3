#!/usr/bin/env python3
"""Compares our logits with those of Hugging Face transformers on random checkpoints that transformers writes.

  cmake --build BUILD --target model_logits
  scripts/compare_transformers.py --program BUILD/bin/model_logits [--device cpu|cuda] [--layers 4] [--json FILE]

Geometries: Qwen3 0.6B and 1.7B, Llama 3.2 1B with its rope scaling, SmolLM2 360M, Qwen2.5 0.5B; widths, heads and rotary
settings are those of the models, the vocabulary is cut, and so are the layers (--layers 0 keeps them all). Weights are
random and rounded to bfloat16 before anything runs, so that both sides see the same numbers. transformers computes in
float32 with eager attention. --json keeps every figure of the table.

What is compared, at prompts of several lengths: log-probabilities after the prompt (prefill) and at each of 16
teacher-forced decode steps, and greedy continuations of 256 tokens.

Tolerance. Our weights and activations carry the same values as theirs; K and V are kept in bfloat16 (8 bits of mantissa,
relative error up to 2^-9 a value), theirs in float32. So besides the plain reference ("exact"), the same model runs with
K and V rounded to bfloat16 as ours are ("rounded"): against that one only the order of float32 sums is left, and a sum
that lands on the other side of a rounding step. The limits are --tolerance for "rounded" and 4 x the distance between
"rounded" and "exact" plus --tolerance for "exact". The CUDA engine rounds activations to bfloat16 as well: there only
the second limit is applied, with the distance to a transformers run in bfloat16 in the place of the first.
Greedy continuations are compared with "rounded" token by token; at the first difference the reference's own margin
between the two tokens decides: below twice the tolerance it is a tie, otherwise a failure.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

COMMON = dict(max_position_embeddings=8192, vocab_size=4096, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3_ROPE = dict(rope_type='llama3', factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=1024)  # 8192 in the model; less, so that short prompts meet it
MODELS = {
    'Qwen3-0.6B': ('Qwen3', 28, dict(hidden_size=1024, intermediate_size=3072, num_attention_heads=16, num_key_value_heads=8,
                                 head_dim=128, rope_theta=1e6, tie_word_embeddings=True)),
    'Qwen3-1.7B': ('Qwen3', 28, dict(hidden_size=2048, intermediate_size=6144, num_attention_heads=16, num_key_value_heads=8,
                                 head_dim=128, rope_theta=1e6, tie_word_embeddings=True)),
    'Llama-3.2-1B': ('Llama', 16, dict(hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
                                   head_dim=64, rope_theta=5e5, tie_word_embeddings=True, rope_scaling=LLAMA3_ROPE)),
    'SmolLM2-360M': ('Llama', 32, dict(hidden_size=960, intermediate_size=2560, num_attention_heads=15, num_key_value_heads=5,
                                   rope_theta=1e5, tie_word_embeddings=True)),
    'Qwen2.5-0.5B': ('Qwen2', 24, dict(hidden_size=896, intermediate_size=4864, num_attention_heads=14, num_key_value_heads=2,
                                   rope_theta=1e6, tie_word_embeddings=False)),
}
STEPS = 16


def write_model(name, layers, folder):
    family, depth, sizes = MODELS[name]
    config = getattr(transformers, family + 'Config')(num_hidden_layers=layers or depth, **COMMON, **sizes)
    config._attn_implementation = 'eager'
    torch.manual_seed(1)
    model = getattr(transformers, family + 'ForCausalLM')(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 2:
                # Logits of standard deviation 2, and layers that outweigh the token's own embedding: with a tied head a
                # heavier embedding makes every position predict its own token, whatever attention does.
                value.normal_(0, (2 if 'embed' in key or 'lm_head' in key else 1) * value.shape[1] ** -0.5)
            elif 'bias' in key:
                value.normal_(0, 0.5)
            else:
                value.uniform_(0.7, 1.3)
            value.copy_(value.to(torch.bfloat16).float())
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    # Read back, not cast back: casting to bfloat16 rounds the rotary frequencies, too, and they would stay rounded.
    return type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval()


class RoundedCache(transformers.DynamicCache):
    """Keeps K and V as bfloat16 would."""
    def update(self, key_states, value_states, *args, **kwargs):
        return super().update(key_states.to(torch.bfloat16).to(key_states.dtype),
                              value_states.to(torch.bfloat16).to(value_states.dtype), *args, **kwargs)


@torch.no_grad()
def forced(model, prompt, continuation, cache):
    logits = model(torch.tensor([prompt], device=model.device), past_key_values=cache, use_cache=True).logits[0, -1:]
    rows = [logits]
    for token in continuation[:-1]:
        rows.append(model(torch.tensor([[token]], device=model.device), past_key_values=cache, use_cache=True).logits[0])
    return torch.log_softmax(torch.cat(rows).float(), -1).cpu()


@torch.no_grad()
def greedy(model, prompt, ours, cache):
    """The first position where the reference, fed our tokens, would choose otherwise, and its margin there."""
    feed, ties = prompt, 0
    for i, token in enumerate(ours):
        logits = model(torch.tensor([feed], device=model.device), past_key_values=cache, use_cache=True).logits[0, -1]
        best = int(logits.argmax())
        if best != token:
            return i, float(logits[best] - logits[token])
        feed = [token]
    return len(ours), 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', required=True)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--layers', type=int, default=4)
    parser.add_argument('--lengths', default='1,17,300,1500')
    parser.add_argument('--greedy', type=int, default=256)
    parser.add_argument('--tolerance', type=float, default=0.01)
    parser.add_argument('--models', default=','.join(MODELS))
    parser.add_argument('--json')
    arguments = parser.parse_args()
    where = 'cuda' if torch.cuda.is_available() else 'cpu'
    transformers.utils.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision('highest')
    print(f'transformers {transformers.__version__}, torch {torch.__version__}, reference on {where}, ours on '
          f'{arguments.device}, {arguments.layers or "all"} layers')
    print('model          prompt   to rounded   to exact  rounded-exact  bf16-exact   argmax   greedy', flush=True)
    failures, records = 0, []
    for name in arguments.models.split(','):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            model = write_model(name, arguments.layers, scratch).to(where)
            generator = torch.Generator().manual_seed(2)
            jobs = []
            for length in map(int, arguments.lengths.split(',')):
                ids = torch.randint(3, COMMON['vocab_size'], (length + STEPS,), generator=generator).tolist()
                jobs.append(dict(model=str(scratch), prompt=ids[:length], continuation=ids[length:],
                                 greedy=arguments.greedy, out=str(scratch / f'{length}.f32')))
            ran = subprocess.run([arguments.program, arguments.device], input='\n'.join(map(json.dumps, jobs)) + '\n',
                                 capture_output=True, text=True)
            if ran.returncode != 0:
                print(f'{name}: {ran.stderr.strip()}')
                failures += 1
                continue
            half = None
            for job, line in zip(jobs, ran.stdout.splitlines()):
                ours = torch.frombuffer(bytearray(open(job['out'], 'rb').read()), dtype=torch.float32).view(STEPS, -1)
                exact = forced(model, job['prompt'], job['continuation'], transformers.DynamicCache())
                rounded = forced(model, job['prompt'], job['continuation'], RoundedCache())
                # The reference in bfloat16 throughout: what a bfloat16 engine may differ by.
                half = half or type(model).from_pretrained(scratch, dtype=torch.bfloat16,
                                                           attn_implementation='eager').to(where).eval()
                coarse = forced(half, job['prompt'], job['continuation'], transformers.DynamicCache())
                # The likely tokens decide; far below the best, log-probabilities differ without meaning.
                likely = exact > exact.max(-1, keepdim=True).values - 10
                distance = lambda a, b: float((a - b).abs()[likely].max())
                to_rounded, to_exact, spread, half_spread = (distance(ours, rounded), distance(ours, exact),
                                                             distance(rounded, exact), distance(coarse, exact))
                distinct = len(set(json.loads(line)['tokens']))  # a loop of few tokens would prove little
                same = int((ours.argmax(-1) == rounded.argmax(-1)).sum())
                at, margin = greedy(model, job['prompt'], json.loads(line)['tokens'], RoundedCache())
                limit = 4 * spread + arguments.tolerance
                good = to_rounded <= arguments.tolerance and to_exact <= limit
                tie = 2 * arguments.tolerance
                if arguments.device == 'cuda':
                    good = to_exact <= 4 * half_spread + arguments.tolerance
                    tie = 8 * half_spread + tie
                good = good and margin <= tie
                failures += not good
                records.append(dict(model=name, layers=model.config.num_hidden_layers, prompt=len(job['prompt']),
                                    decode_steps=STEPS - 1, to_rounded=to_rounded, to_exact=to_exact, rounded_exact=spread,
                                    bf16_exact=half_spread, argmax_same=same, argmax_of=STEPS, greedy_same=at,
                                    greedy_of=arguments.greedy, greedy_distinct=distinct, greedy_margin=margin,
                                    passed=bool(good)))
                print(f'{name:14} {len(job["prompt"]):6}   {to_rounded:10.5f} {to_exact:10.5f} {spread:14.5f} {half_spread:11.5f} '
                      f'{same:5}/{STEPS}   {at}/{arguments.greedy} ({distinct} distinct)' + (f' (margin {margin:.5f})' if margin else '') +
                      ('' if good else '  FAILED'), flush=True)
    if arguments.json:
        json.dump(dict(transformers=transformers.__version__, torch=torch.__version__, reference=where,
                       ours=arguments.device, tolerance=arguments.tolerance, results=records),
                  open(arguments.json, 'w'), indent=1)
    print(f'{failures} failures')
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
