#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "core/engine/bench/bench.h"

namespace {

using vortex::bench::Options;

void add_common(CLI::App* verb, Options& o) {
  verb->add_option("--device", o.device, "auto, cuda or cpu")->check(CLI::IsMember({"auto", "cuda", "cpu"}));
  verb->add_option("--geometry", o.geometry, "a named model shape, or a model's folder");
  verb->add_option("--layers", o.layers, "only so many of its layers, the first ones");
  verb->add_flag("--fp8-experts", o.fp8_experts, "experts in fp8, which CUDA keeps so");
  verb->add_option("--policy", o.policy, "a vFlow module; without one attention is dense");
  verb->add_option("--config", o.config, "its configuration (the .json beside it)");
  verb->add_flag_callback(
      "--dense", [&o] { o.policy.clear(); }, "dense attention");
  verb->add_option("--kv", o.kv, "K and V as bfloat16, float32, fp8_e4m3 or fp8_e5m2");
  verb->add_option("--pages", o.pages, "pages that a row attends, whatever its length");
  verb->add_option("--ratio", o.ratio, "budget as a share of the pages");
  verb->add_option("--dense-layers", o.dense_layers, "with --pages or --ratio: layers that stay dense");
  verb->add_option("--max-batch", o.max_batch, "requests decoded together")->check(CLI::Range(1, 512));
  verb->add_option("--max-context", o.max_context, "tokens of the longest request");
  verb->add_option("--kv-gb", o.kv_gigabytes, "GB of the KV pool (what the batch needs)");
  verb->add_option("--threads", o.threads, "on the CPU")->check(CLI::Range(1, 1024));
  verb->add_option("--tensor-parallel", o.ranks, "ranks that the model is spread over: devices, or threads of the CPU")
      ->check(CLI::Range(1, 8));
  verb->add_option("--cpu-math", o.cpu_math, "products on the CPU: float32, bf16, or one unit: avx512-bf16, amx-bf16");
  verb->add_flag("--batch-invariant", o.batch_invariant, "as evaluations run: the same bits at every batch size");
  verb->add_option("--row-pieces", o.row_pieces,
                   "on CUDA, with --batch-invariant: thread blocks that a row of attention may be spread over")
      ->check(CLI::IsMember({1, 2, 4, 8}));
  verb->add_option("--steps", o.steps, "decode steps a sample")->check(CLI::Range(1, 1000));
  verb->add_option("--samples", o.samples, "samples a line")->check(CLI::Range(1, 1000));
  verb->add_option("--seed", o.seed, "of lengths and arrivals");
  verb->add_option("--json", o.json, "also append the lines, as a JSON object, to this file");
  verb->add_flag("--progress", o.progress, "say on stderr what is done, and after how many seconds");
  verb->add_flag("--cublas-only", o.cublas_only, "matrix products by cuBLASLt alone, to compare");
  verb->add_option("--prompt-chunk", o.prompt_chunk, "on CUDA: tokens of a prompt that are computed together")
      ->check(CLI::Range(1, 65536));
  verb->add_flag("--plain-attention", o.plain_attention, "on CUDA: prompts attend by our plain kernel, to compare");
  verb->add_option("--format", o.format, "text, json or markdown")->check(CLI::IsMember({"text", "json", "markdown"}));
}

void add_load(CLI::App* verb, Options& o) {
  verb->add_option("--requests", o.requests, "requests")->check(CLI::Range(1, 1000000));
  verb->add_option("--scale", o.scale, "of the number of requests")->check(CLI::Range(0.0, 1000.0));
  verb->add_option("--prompt", o.prompt, "tokens of a prompt")->check(CLI::Range(1, 1000000));
}

void add_answers(CLI::App* verb, Options& o) {
  verb->add_option("--mean-output", o.mean_output, "mean of the log-normal answers, before they are cut")
      ->check(CLI::PositiveNumber);
  verb->add_option("--sigma", o.sigma, "deviation of their logarithm")->check(CLI::Range(0.0, 5.0));
  verb->add_option("--longest-output", o.longest_output, "where they are cut")->check(CLI::Range(2, 1 << 20));
}

CLI::App* add_regress(CLI::App& app, Options& o) {
  CLI::App* verb = app.add_subcommand("regress", "a fixed set of steps and traces beside what was recorded of them");
  verb->add_option("--device", o.device, "auto, cuda or cpu")->check(CLI::IsMember({"auto", "cuda", "cpu"}));
  verb->add_option("--only", o.only, "these cases alone");
  verb->add_flag("--record", o.record, "write what is measured to the device's file, in place of what is there");
  verb->add_option("--runs", o.runs, "measure so often, with an engine made anew (1; to record 3)")
      ->check(CLI::Range(1, 20));
  verb->add_option("--turns", o.turns, "of every case, each beside a copy")->check(CLI::Range(6, 1000));
  verb->add_option("--threads", o.threads, "on the CPU")->check(CLI::Range(1, 1024));
  verb->add_option("--tree", o.tree, "the source tree, for policies and the register");
  verb->add_option("--register", o.speed_register, "the register's folder (docs/benchmarks/register of the tree)");
  verb->add_option("--build", o.build, "what is measured, for the record: a commit");
  verb->add_flag_callback(
      "--json", [&o] { o.format = "json"; }, "print the comparison as one JSON object");
  return verb;
}

int run(int argc, char** argv) {
  CLI::App app("Benchmarks of the decode engine. Weights are random at a named geometry.", "vortex-bench");
  app.require_subcommand(1);
  Options o;
  CLI::App* step = app.add_subcommand("step", "decode steps of equal requests");
  add_common(step, o);
  step->add_option("shapes", o.shapes, "REQUESTSxTOKENS, or fitxTOKENS: as many requests as fit")->required();
  step->add_option("--without", o.without, "also time steps that lack a stage, each of these in turn: a profile");
  CLI::App* prompt = app.add_subcommand("prompt", "prompts of one request, whole");
  add_common(prompt, o);
  prompt->add_option("shapes", o.shapes, "TOKENS of a prompt")->required();
  prompt->add_option("--without", o.without, "on CUDA: also time prompts that lack a stage, each of these in turn");
  CLI::App* trace = app.add_subcommand("trace", "requests with short prompts and long answers, as AIME24 makes them");
  add_common(trace, o);
  add_load(trace, o);
  add_answers(trace, o);
  trace->add_option("--windows", o.windows, "places at which the step time is measured; 0 runs the whole trace");
  trace->add_flag("--warm-up", o.warm_up, "with --windows 0: run it once before the clock starts");
  CLI::App* workload =
      app.add_subcommand("workload", "a policy beside dense attention, in turns, on such requests: the speed stage");
  add_common(workload, o);
  add_load(workload, o);
  add_answers(workload, o);
  workload->add_option("--precision", o.precision, "ends when half the interval of the ratio is this share of it");
  workload->add_option("--seconds", o.seconds, "or when another turn would pass these");
  CLI::App* serve = app.add_subcommand("serve-sim", "Poisson arrivals of long prompts");
  add_common(serve, o);
  add_load(serve, o);
  serve->add_option("--rate", o.rate, "arrivals a second")->check(CLI::PositiveNumber);
  serve->add_option("--outputs", o.outputs, "tokens of an answer");
  serve
      ->add_option("--prompt-sigma", o.prompt_sigma, "log-normal prompts about that mean: deviation of their logarithm")
      ->check(CLI::Range(0.0, 5.0));
  serve->add_option("--output-sigma", o.output_sigma, "the same of answers")->check(CLI::Range(0.0, 5.0));
  serve->add_option("--chunk-ms", o.chunk_milliseconds, "of prompts between two decode steps; 0: a whole prompt")
      ->check(CLI::Range(0.0, 1e6));
  serve
      ->add_option("--decode-share", o.decode_share,
                   "of the time while requests decode, what decode steps have at least; 0: a piece between any two")
      ->check(CLI::Range(0.0, 0.99));
  serve
      ->add_option("--share-patience", o.share_patience,
                   "seconds of waiting after which a prompt is read all the same; 0: never")
      ->check(CLI::Range(0.0, 1e6));
  CLI::App* recall = app.add_subcommand("recall", "a policy forced through what dense attention writes, and its looks");
  add_common(recall, o);
  recall->add_option("shapes", o.shapes, "REQUESTSxTOKENS")->required();
  recall->add_option("--outputs", o.outputs, "tokens that are forced")->check(CLI::Range(1, 100000));
  recall->add_option("--look-every", o.look_every, "steps between two looks at the softmax; 0: none");
  CLI::App* regress = add_regress(app, o);
  CLI::App* math = app.add_subcommand("math", "prompts and decode steps on every unit of the CPU, in turns");
  add_common(math, o);
  math->add_option("shapes", o.shapes, "REQUESTSxTOKENS: a prompt of so many tokens, steps of so many requests")
      ->required();
  CLI::App* ranks = app.add_subcommand("ranks", "what a model says on several ranks beside what it says on one");
  add_common(ranks, o);
  ranks->add_option("shapes", o.shapes, "1xTOKENS of the prompt");
  ranks->add_option("--outputs", o.outputs, "greedy tokens")->check(CLI::Range(1, 100000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) { return app.exit(error); }
    const std::vector<CLI::App*> named = app.get_subcommands();
    std::fprintf(stderr, "error: %s\nhint: see `vortex bench%s --help`\n", error.what(),
                 named.empty() ? "" : (" " + named.front()->get_name()).c_str());
    return vortex::exit_code(vortex::Blame::kCandidate);
  }
  // No kernel may be loaded while a card waits for another (docs/tensor-parallel.md); read when CUDA starts.
  if (o.ranks > 1) { ::setenv("CUDA_MODULE_LOADING", "EAGER", 0); }
  vortex::Status status = vortex::ok_status();
  if (step->parsed()) { status = vortex::bench::bench_step(o); }
  if (prompt->parsed()) { status = vortex::bench::bench_prompt(o); }
  if (trace->parsed()) { status = vortex::bench::bench_trace(o); }
  if (workload->parsed()) { status = vortex::bench::bench_workload(o); }
  if (serve->parsed()) { status = vortex::bench::bench_serve(o); }
  if (math->parsed()) { status = vortex::bench::bench_math(o); }
  if (ranks->parsed()) { status = vortex::bench::bench_ranks(o); }
  if (regress->parsed()) { status = vortex::bench::bench_regress(o); }
  if (recall->parsed()) { status = vortex::bench::bench_recall(o); }
  if (status.ok()) { return 0; }
  std::fprintf(stderr, "error: %s\n", status.error().message.c_str());
  if (!status.error().hint.empty()) { std::fprintf(stderr, "hint: %s\n", status.error().hint.c_str()); }
  return vortex::exit_code(status.error().blame);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  }
}
