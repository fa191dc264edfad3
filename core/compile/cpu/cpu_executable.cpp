#include "core/compile/cpu/cpu_executable.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/sha256.h"
#include "core/compile/cpu/execute.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/select.h"

namespace vortex::compile {

namespace {

Scratch& worker_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

class LoweredPolicy final : public CpuExecutable {
 public:
  LoweredPolicy(const vflow::Policy& policy, cpu::Isa isa)
      : policy_(policy),
        isa_(isa),
        constants_(prepare_constants(policy.program)),
        cache_side_(lower(policy.program, vflow::Side::kCache, policy.config.dtype)),
        indexer_side_(lower(policy.program, vflow::Side::kIndexer, policy.config.dtype)) {}

  void update(const LayerCache& cache, std::span<const int32_t> pages) const override {
    RowTask task;
    task.lowered = &cache_side_;
    task.constants = &constants_;
    task.kernels = &cpu::vector_kernels(isa_);
    task.pages = pages.data();
    task.computed = static_cast<int64_t>(pages.size());
    task.scratch = &worker_scratch();
    for (int head = 0; head < cache.k.kv_heads; ++head) {
      task.fields = views(cache, head);
      run_pages(task);
    }
  }

  void choose(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
              std::vector<float>* scores) const override {
    const int rows = batch.requests * cache.k.kv_heads;
    selection.stride = 1;
    for (int request = 0; request < batch.requests; ++request) {
      selection.stride = std::max(selection.stride, most_chosen(blocks_of(batch, request)));
    }
    selection.blocks.assign(static_cast<size_t>(rows) * static_cast<size_t>(selection.stride), 0);
    selection.counts.assign(static_cast<size_t>(rows), 0);
    if (scores != nullptr) {
      const auto count = static_cast<size_t>(rows) * static_cast<size_t>(batch.max_blocks);
      scores->assign(count, std::numeric_limits<float>::quiet_NaN());
    }
    cpu::parallel_for(batch.pool, rows, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        select_row(cache, batch, static_cast<int>(row), selection, scores);
      }
    });
  }

  std::string describe() const override {
    const vflow::Dtype dtype = policy_.config.dtype;
    const vflow::Program& program = policy_.program;
    return "cache\n" + describe_stages(program.cache, plan_stages(program.cache), dtype) + "indexer\n" +
           describe_stages(program.indexer, plan_stages(program.indexer), dtype);
  }

  // No code is generated: the program's own kernels run the stages one after the other.
  std::vector<KernelInfo> kernels() const override {
    KernelInfo kernel;
    kernel.name = "stages on " + std::string(cpu::isa_name(isa_));
    kernel.source_hash = sha256_hex(describe());
    return {kernel};
  }

 private:
  int blocks_of(const IndexerBatch& batch, int request) const {
    const int block = policy_.program.geometry.block_size;
    return (batch.seq_lens[request] + block - 1) / block;
  }

  // An upper bound of the pages that a row with n pages attends.
  int most_chosen(int n) const {
    const RowBudget budget = row_budget(policy_.config, n);
    if (budget.everything_fits) { return n; }
    int64_t chosen = budget.bos + budget.eos;
    for (const Chooser& chooser : indexer_side_.choosers) { chosen += chooser.k > 0 ? chooser.k : budget.middle; }
    const int reserved = policy_.config.reserved_bos + policy_.config.reserved_eos;
    return static_cast<int>(std::min<int64_t>(n, chosen + reserved));
  }

  std::vector<cpu::PagedView> views(const LayerCache& cache, int head) const {
    std::vector<cpu::PagedView> result;
    size_t own = 0;
    for (const vflow::Field& field : policy_.program.fields) {
      const PagedTensor& tensor = !field.builtin ? cache.fields[own++] : field.name == "v" ? cache.v : cache.k;
      cpu::PagedView view;
      view.bf16 = tensor.dtype == vflow::Dtype::kBf16;
      view.size = static_cast<int64_t>(tensor.rows) * tensor.cols;
      view.page_stride = view.size * tensor.kv_heads;
      view.data = static_cast<char*>(tensor.data) + head * view.size * vflow::dtype_bytes(tensor.dtype);
      result.push_back(view);
    }
    return result;
  }

  void select_row(const LayerCache& cache, const IndexerBatch& batch, int row, Selection& selection,
                  std::vector<float>* scores) const {
    const int request = row / cache.k.kv_heads;
    const int n = blocks_of(batch, request);
    int32_t* chosen = selection.blocks.data() + static_cast<size_t>(row) * static_cast<size_t>(selection.stride);
    int32_t& count = selection.counts[static_cast<size_t>(row)];
    const RowBudget budget = row_budget(policy_.config, n);
    if (budget.everything_fits) {
      std::iota(chosen, chosen + n, 0);
      count = n;
      return;
    }
    RowTask task = row_task(cache, batch, row, n);
    run_row(task);
    if (scores != nullptr && !indexer_side_.choosers.empty()) {
      std::copy_n(row_values(task, indexer_side_.choosers[0].scores), task.computed,
                  scores->begin() + static_cast<int64_t>(row) * batch.max_blocks);
    }
    count = choose(task, budget, n, chosen);
    save_row(task);
  }

  RowTask row_task(const LayerCache& cache, const IndexerBatch& batch, int row, int n) const {
    const vflow::EngineConfig& config = policy_.config;
    const vflow::Geometry& geometry = policy_.program.geometry;
    RowTask task;
    task.lowered = &indexer_side_;
    task.constants = &constants_;
    task.kernels = &cpu::vector_kernels(isa_);
    task.fields = views(cache, row % cache.k.kv_heads);
    task.pages = batch.block_table + static_cast<int64_t>(row / cache.k.kv_heads) * batch.max_blocks;
    task.computed = std::max(0, n - config.reserved_eos);
    task.bos = config.reserved_bos;
    task.copy_over_rows = n <= config.reserved_bos + config.reserved_eos + config.topk_val;
    task.layer = batch.layer;
    task.q = batch.q + static_cast<int64_t>(row) * geometry.group * geometry.head_dim;
    task.scratch = &worker_scratch();
    return task;
  }

  // Reserved and chosen pages of one score list, ascending.
  int choose_from(const RowTask& task, const Chooser& chooser, const RowBudget& budget, int n, int32_t* out) const {
    const auto middle = static_cast<int>(std::max<int64_t>(0, task.computed - task.bos));
    const bool own_k = chooser.k > 0;
    const int bos = own_k ? std::min(policy_.config.reserved_bos, n) : budget.bos;
    const int eos = own_k ? std::min(policy_.config.reserved_eos, n - bos) : budget.eos;
    std::iota(out, out + bos, 0);
    int count = bos;
    count += cpu::select_largest(row_values(task, chooser.scores) + std::min(task.bos, task.computed), middle,
                                 own_k ? chooser.k : budget.middle, chooser.tolerance, static_cast<int>(task.bos),
                                 out + count);
    std::iota(out + count, out + count + eos, n - eos);
    return count + eos;
  }

  int choose(const RowTask& task, const RowBudget& budget, int n, int32_t* chosen) const {
    if (indexer_side_.choosers.size() == 1) { return choose_from(task, indexer_side_.choosers[0], budget, n, chosen); }
    std::vector<int32_t>& buffer = task.scratch->chosen;
    buffer.resize(static_cast<size_t>(n) * 2);
    const int first = choose_from(task, indexer_side_.choosers[0], budget, n, buffer.data());
    const int second = choose_from(task, indexer_side_.choosers[1], budget, n, buffer.data() + n);
    return cpu::merge_ascending(buffer.data(), first, buffer.data() + n, second, chosen);
  }

  vflow::Policy policy_;
  cpu::Isa isa_;
  std::vector<PreparedConstant> constants_;
  Lowered cache_side_;
  Lowered indexer_side_;
};

bool runs_here(vflow::Dtype dtype) { return dtype == vflow::Dtype::kBf16 || dtype == vflow::Dtype::kFp32; }

}  // namespace

Result<std::unique_ptr<CpuExecutable>> compile_cpu_for(const vflow::Policy& policy, cpu::Isa isa) {
  if (!runs_here(policy.config.dtype) || !runs_here(policy.config.kv_dtype)) {
    return candidate_error("the CPU backend keeps fields, k and v as bfloat16 or float32, not vortex_dtype " +
                               std::string(vflow::dtype_name(policy.config.dtype)) + " with kv_cache_dtype " +
                               std::string(vflow::dtype_name(policy.config.kv_dtype)),
                           "use bfloat16");
  }
  const auto selects = [](const vflow::Node& node) {
    return node.op == vflow::Op::kTopK || node.op == vflow::Op::kApproxTopK || node.op == vflow::Op::kUnion;
  };
  const std::vector<vflow::Node>& nodes = policy.program.indexer.nodes;
  if (std::none_of(nodes.begin(), nodes.end(), selects)) {
    return candidate_error("forward_indexer chooses no pages", "end it with topK, approxTopK or Union");
  }
  return std::unique_ptr<CpuExecutable>(std::make_unique<LoweredPolicy>(policy, isa));
}

Result<std::unique_ptr<CpuExecutable>> compile_cpu(const vflow::Policy& policy) {
  return compile_cpu_for(policy, cpu::best_isa());
}

}  // namespace vortex::compile
