#include "core/engine/cuda/runner.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/engine/cuda/limits.h"
#include "core/engine/cuda/row_split.h"
#include "core/engine/packed_model.h"
#include "core/engine/requests.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/sampler.h"
#include "kernels/cuda/step.h"

namespace vortex::engine {
namespace {

constexpr int kDenseBlockSize = 16;                 // of the pool while no policy says otherwise
constexpr int64_t kSpareMemory = int64_t{1} << 30;  // kept for graphs and workspaces

// Does forward_cache write every field of the policy?
bool writes_every_field(const vflow::Program& program) {
  for (size_t i = 0; i < program.fields.size(); ++i) {
    if (program.fields[i].builtin) { continue; }
    const bool written =
        std::any_of(program.cache.nodes.begin(), program.cache.nodes.end(), [&](const vflow::Node& node) {
          return (node.op == vflow::Op::kStore || node.op == vflow::Op::kFill) &&
                 node.attrs.field == static_cast<int>(i);
        });
    if (!written) { return false; }
  }
  return true;
}

size_t ints(int64_t count) { return static_cast<size_t>(count) * sizeof(std::int32_t); }

}  // namespace

Result<std::unique_ptr<Runner>> Runner::make(model::Model model, const EngineOptions& options,
                                             const CudaOptions& cuda) {
  VORTEX_TRY(cuda_supports(model.config, options, nullptr));
  VORTEX_ASSIGN(const CudaDevice device, find_cuda_device(cuda.device));
  VORTEX_TRY(cuda_status(cudaSetDevice(cuda.device), "choosing the device"));
  std::unique_ptr<Runner> runner(new Runner(options, cuda));
  runner->device_ = device;
  VORTEX_TRY(runner->create(std::move(model)));
  return runner;
}

Status Runner::create(model::Model model) {
  VORTEX_TRY(stream_.create());
  VORTEX_ASSIGN(model_, upload_model(std::move(model), options_.max_context, stream_.get(), options_.kept.get(),
                                     cuda_.link != nullptr ? &cuda_.link->plan() : nullptr));
  VORTEX_TRY(gemms_.create(cuda_.batch_invariant, cuda_.own_products));
  // The bits of algorithms are compared on the model's own weights, so a choice is the model's, too.
  gemms_.use_cache(cuda_.product_cache, device_.name + " driver " + std::to_string(device_.driver) + " build " +
                                            cuda_.build + " model " + model_.source.hash);
  prompt_chunk_ = prompt_chunk_of(model_.source.config, options_.max_context, cuda_.prompt_chunk);
  if (cuda_.link != nullptr) { prompt_chunk_ = std::min(prompt_chunk_, kPromptChunk); }  // what ranks exchange at once
  VORTEX_TRY(
      activations_.create(model_, std::max({options_.max_batch, prompt_chunk_, kLeastPromptRows}), options_.max_batch));
  layers_.emplace(model_, gemms_, activations_, cuda_.link.get());
  const StepShape shape{cuda_.batch_invariant, row_pieces(), 0, device_.multiprocessors, nullptr};
  VORTEX_TRY(attention_memory_.allocate(
      sizeof(float) *
      static_cast<size_t>(device_attention(model_.source.config).workspace_floats(model_, options_.max_batch, shape))));
  if (attention_memory_.bytes() > 0) {
    VORTEX_TRY(cuda_status(cudaMemset(attention_memory_.data(), 0, attention_memory_.bytes()), "clearing a workspace"));
  }
  VORTEX_TRY(slots_.create(options_.max_batch));
  const int64_t slots = options_.max_batch;
  const model::ModelConfig& c = model_.source.config;
  VORTEX_TRY(step_lengths_.allocate(ints(slots)));
  VORTEX_TRY(granted_.allocate(static_cast<size_t>(slots)));
  VORTEX_TRY(budgets_.allocate(ints(slots)));
  VORTEX_TRY(counts_.allocate(ints(slots * c.num_kv_heads * c.num_layers)));
  VORTEX_TRY(selects_.allocate(static_cast<size_t>(c.num_layers)));
  VORTEX_TRY(counters_.allocate(static_cast<size_t>(c.num_layers) * sizeof(cuda::PageCounters)));
  VORTEX_TRY(chunk_tokens_.allocate(ints(prompt_chunk_)));
  VORTEX_TRY(chunk_rows_.allocate(ints(int64_t{2} * prompt_chunk_)));
  return set_policy(std::nullopt);
}

Result<DevicePolicy> Runner::compile(const vflow::Policy& policy) const {
  VORTEX_TRY(cuda_supports(model_.source.config, options_, &policy));
  DevicePolicy made;
  made.policy = policy;
  made.zeroes_pages = !writes_every_field(policy.program);
  if (auto fused = BlockTopK::match(policy)) {
    made.fused = fused.get();
    made.executable = std::move(fused);
    return made;
  }
  compile::CudaTarget target;
  target.kv_type = kv_type_of(policy.config.kv_dtype);
  target.cache_folder = cuda_.kernel_cache;
  VORTEX_ASSIGN(
      made.executable,
      compile::compile_cuda(
          policy, model::geometry_of(model_.source.config, options_.max_context, options_.kv_memory_bytes), target));
  return made;
}

// What the pool may take of so much free memory: all but for a reserve; of a device that others share, at most its part
// less the weights, whoever comes first, so that a pool's size does not depend on what the others do just now.
int64_t Runner::pool_share(int64_t free, int64_t whole) const {
  int64_t available = free;
  if (options_.device_sharers > 1) {
    const int64_t weights = model_.matrix_bytes;  // once for all who have them of a keeper
    const int64_t part = options_.kept != nullptr ? (whole - weights) / options_.device_sharers
                                                  : whole / options_.device_sharers - weights;
    available = std::min(available, part);
  }
  return std::max<int64_t>(0, available - kSpareMemory - options_.spare_bytes);
}

// Pages of the pool: what was asked for, at most what there is memory for. Where one request finds no room that would
// find some were the device this engine's alone, others hold it: that is no fault of the policy.
Result<int> Runner::pool_pages(int block, cuda::KvType type, const vflow::Policy* policy) const {
  const int64_t bytes = device_page_bytes(model_.source.config, block, type, policy);
  const int64_t blocks = (options_.max_context + block - 1) / block;
  size_t free = 0;
  size_t total = 0;
  VORTEX_TRY(cuda_status(cudaMemGetInfo(&free, &total), "reading the free memory"));
  const auto whole = static_cast<int64_t>(total);
  int64_t most = blocks * options_.max_batch;
  if (options_.kv_memory_bytes > 0) { most = std::min(most, options_.kv_memory_bytes / bytes); }
  const int64_t alone = std::min(most, pool_share(whole - model_.matrix_bytes, whole) / bytes);
  const int64_t own = static_cast<int64_t>(free) + static_cast<int64_t>(pool_.bytes());  // its old memory goes first
  int64_t pages = std::min(most, pool_share(own, whole) / bytes);
  if (cuda_.link != nullptr) { VORTEX_ASSIGN(pages, cuda_.link->least(static_cast<int>(pages))); }  // the same on all
  if (pages >= blocks) { return static_cast<int>(pages); }
  const std::string what = "one request of " + std::to_string(options_.max_context) + " tokens needs " +
                           std::to_string(blocks) + " pages of " + std::to_string(bytes) + " bytes, " +
                           std::to_string(blocks * bytes) + " in all, but the pool has room for " +
                           std::to_string(pages);
  if (alone >= blocks) {
    return environment_error(
        what + ": " + std::to_string(own) + " of the GPU's " + std::to_string(whole) + " bytes are free",
        "look with nvidia-smi who holds the rest, or name another GPU (CUDA_VISIBLE_DEVICES)");
  }
  return candidate_error(what, options_.device_sharers > 1
                                   ? "let fewer workers share the GPU (--workers)"
                                   : "use smaller or fewer cache fields, a shorter context or more KV memory");
}

Status Runner::set_policy(const std::optional<vflow::Policy>& policy) {
  DevicePolicy next;
  if (policy) { VORTEX_ASSIGN(next, compile(*policy)); }
  graphs_.clear();
  pool_.clear();
  policy_ = std::move(next);
  const vflow::Policy* set = policy ? &policy_.policy : nullptr;
  const int block = policy ? policy->config.block_size : kDenseBlockSize;
  const vflow::Dtype kv_dtype = policy ? policy->config.kv_dtype : cuda_.kv_dtype;
  const std::optional<cuda::KvType> type = kv_type_of(kv_dtype);
  VORTEX_TRY(check_kv_type(model_.source.config, kv_dtype));
  if (!type) { return candidate_error("the CUDA engine keeps K and V as bfloat16, float32 or fp8"); }
  max_blocks_ = (options_.max_context + block - 1) / block;
  VORTEX_TRY(reserve_policy_memory());
  if (options_.device_sharers == 0) { return ok_status(); }
  VORTEX_ASSIGN(const int pages, pool_pages(block, *type, set));
  VORTEX_TRY(pool_.configure(model_.source.config, block, *type, set, pages));
  return reset();
}

void Runner::share_memory(int sharers) {
  if (sharers == options_.device_sharers) { return; }
  options_.device_sharers = sharers;
  graphs_.clear();
  pool_ = DevicePool();
}

// The pool keeps its memory from policy to policy, for a turn of the speed stage changes the policy twice, and giving
// back and taking all of a card's memory costs more than the steps do. Only where the `bytes` that the policy needs
// besides the pool would take more than half of what is spare, it goes first.
Status Runner::make_room(size_t bytes) {
  size_t free = 0;
  size_t total = 0;
  VORTEX_TRY(cuda_status(cudaMemGetInfo(&free, &total), "reading the free memory"));
  if (static_cast<int64_t>(free) < static_cast<int64_t>(bytes) + kSpareMemory / 2) { pool_ = DevicePool(); }
  return ok_status();
}

Status Runner::reserve_policy_memory() {
  const model::ModelConfig& c = model_.source.config;
  std::vector<std::uint8_t> selects;
  for (int layer = 0; layer < c.num_layers; ++layer) { selects.push_back(policy_.sparse(layer) ? 1 : 0); }
  VORTEX_TRY(cuda_status(cudaMemcpy(selects_.data(), selects.data(), selects.size(), cudaMemcpyHostToDevice),
                         "listing sparse layers"));
  size_t selected = 0;
  size_t workspace = 0;
  if (policy_.executable != nullptr) {
    policy_.max_selected = policy_.executable->max_selected(max_blocks_);
    selected = ints(int64_t{options_.max_batch} * c.num_kv_heads * policy_.max_selected);
    workspace = policy_.executable->workspace_bytes(options_.max_batch, max_blocks_);
  }
  VORTEX_TRY(make_room(selected + workspace));
  VORTEX_TRY(table_.allocate(ints(int64_t{options_.max_batch} * max_blocks_)));
  if (policy_.executable == nullptr) { return ok_status(); }
  VORTEX_TRY(selected_.allocate(selected));
  return workspace_.allocate(workspace);
}

Status Runner::reset(uint64_t scatter_seed) {
  if (options_.device_sharers == 0) { return internal_error("the engine was granted no memory of its device"); }
  VORTEX_TRY(stream_.synchronize("starting afresh"));
  VORTEX_TRY(pool_.free_all(scatter_seed, stream_.get()));
  VORTEX_TRY(cuda_status(cudaMemsetAsync(counters_.data(), 0, counters_.bytes(), stream_.get()), "starting afresh"));
  VORTEX_TRY(activations_.experts.clear_touched(stream_.get()));
  reading_ = {};
  slots_.clear_all();
  VORTEX_TRY(slots_.upload(stream_.get()));
  return stream_.synchronize("starting afresh");
}

int Runner::capacity_for(int slots) const {
  const auto size = std::lower_bound(kCudaBatchSizes.begin(), kCudaBatchSizes.end(), slots);
  return std::min(*size, options_.max_batch);
}

Status Runner::prepare(int capacity) {
  if (graphs_.contains(capacity)) { return ok_status(); }
  VORTEX_TRY(layers_->tune(capacity, capacity, stream_.get()));
  Graph graph;
  VORTEX_TRY(graph.capture(stream_.get(), [&] { return enqueue_step(capacity, nullptr); }));
  if (cuda_.link != nullptr) { VORTEX_TRY(graph.upload(stream_.get())); }
  graphs_.emplace(capacity, std::move(graph));
  return meet();
}

Status Runner::meet() const { return cuda_.link != nullptr ? cuda_.link->meet() : ok_status(); }

Status Runner::fetch() {
  VORTEX_TRY(slots_.download(stream_.get()));
  return cuda_.link != nullptr ? cuda_.link->check() : ok_status();
}

Status Runner::replay(int capacity) {
  const auto graph = graphs_.find(capacity);
  if (graph == graphs_.end()) { return internal_error("a decode step was replayed before it was captured"); }
  return graph->second.launch(stream_.get());
}

Status Runner::step_eagerly(int capacity, const LayerHook& hook) {
  VORTEX_TRY(layers_->tune(capacity, capacity, stream_.get()));
  VORTEX_TRY(meet());
  return enqueue_step(capacity, &hook);
}

void Runner::leave_out(std::optional<Stage> stage) {
  graphs_.clear();
  left_out_ = stage;
  layers_->leave_out(stage);
}

cuda::PageTable Runner::table(const std::int32_t* lengths) const {
  return {table_.as<std::int32_t>(), lengths, max_blocks_};
}

compile::CudaBatch Runner::batch(int layer, int requests, const std::int32_t* lengths) const {
  compile::CudaBatch batch;
  batch.layer = layer;
  batch.num_requests = requests;
  batch.num_q_heads = model_.source.config.num_q_heads;
  batch.q = activations_.q;
  batch.table = table(lengths);
  batch.workspace = workspace_.data();
  return batch;
}

// Places for the new tokens, and their embeddings.
Status Runner::begin_step(int capacity) {
  const SlotArrays& slots = slots_.device();
  cuda::PlanStep plan;
  plan.lengths = slots.lengths;
  plan.table = table_.as<std::int32_t>();
  plan.new_tokens = slots.new_tokens;
  plan.granted = granted_.as<std::uint8_t>();
  if (policy_.fused != nullptr) {
    plan.budgets = budgets_.as<std::int32_t>();
    plan.budget = policy_.fused->budget_rule();
  }
  plan.free = {pool_.free_pages(), pool_.free_count()};
  plan.num_requests = capacity;
  plan.max_blocks = max_blocks_;
  plan.block = pool_.block();
  if (left_out_ != Stage::kPlanning) {
    VORTEX_TRY(cuda_status(cuda::plan_step(plan, stream_.get()), "planning a step"));
  }
  cuda::EmbedRows embed;
  embed.table = model_.embedding;
  embed.tokens = slots.next_tokens;
  embed.out = activations_.residual;
  embed.rows = capacity;
  embed.width = model_.source.config.hidden_size;
  embed.granted = granted_.as<std::uint8_t>();
  embed.lengths = slots.lengths;
  embed.step_lengths = step_lengths_.as<std::int32_t>();
  VORTEX_TRY(cuda_status(cuda::embed_rows(embed, stream_.get()), "embedding tokens"));
  if (!policy_.zeroes_pages) { return ok_status(); }
  cuda::ZeroPages zero;
  zero.tensors = pool_.field_list();
  zero.num_tensors = pool_.num_fields();
  zero.table = table(step_lengths_.as<std::int32_t>());
  zero.num_requests = capacity;
  zero.block = pool_.block();
  return cuda_status(cuda::zero_pages(zero, stream_.get()), "clearing fresh pages");
}

compile::CudaBatch Runner::scored_batch(int layer, int capacity) const {
  compile::CudaBatch rows = batch(layer, capacity, step_lengths_.as<std::int32_t>());
  rows.active = granted_.as<std::uint8_t>();
  rows.completes_blocks = true;
  rows.budgets = budgets_.as<std::int32_t>();
  return rows;
}

compile::CudaSelection Runner::selected(int layer) const {
  compile::CudaSelection selection;
  selection.blocks = selected_.as<std::int32_t>();
  selection.counts =
      counts_.as<std::int32_t>() + int64_t{layer} * options_.max_batch * model_.source.config.num_kv_heads;
  selection.max_selected = policy_.max_selected;
  return selection;
}

Status Runner::select(int layer, int capacity) {
  return cuda_status(
      policy_.executable->select(pool_.layer(layer), scored_batch(layer, capacity), selected(layer), stream_.get()),
      "selecting pages");
}

// What select() has chosen for a layer, until the next layer's.
cuda::Selection Runner::selection(int layer) const {
  const int64_t rows = int64_t{options_.max_batch} * model_.source.config.num_kv_heads;
  return {selected_.as<std::int32_t>(), counts_.as<std::int32_t>() + layer * rows, policy_.max_selected};
}

cuda::DecodeAttention Runner::attention(int layer, int capacity) const {
  const model::ModelConfig& c = model_.source.config;
  cuda::DecodeAttention args;
  args.q = activations_.q;
  args.out = activations_.attended;
  args.kv = pool_.layer(layer).kv;
  args.table = table(step_lengths_.as<std::int32_t>());
  args.num_requests = capacity;
  args.num_q_heads = c.num_q_heads;
  args.scale = attention_scale(c);
  return args;
}

Status Runner::attend(int layer, int capacity, bool sparse) {
  cuda::DecodeAttention args = attention(layer, capacity);
  if (sparse) { args.selection = selection(layer); }
  const StepShape shape{cuda_.batch_invariant, row_pieces(), sparse ? policy_.max_selected : max_blocks_,
                        device_.multiprocessors, attention_memory_.as<float>()};
  const DeviceAttention& kind = device_attention(model_.source.config);
  return cuda_status(kind.attend(model_, args, shape, stream_.get()), "attending");
}

// Selects and attends: by one kernel where that is quicker, whose bits are those of the two.
Status Runner::select_and_attend(int layer, int capacity) {
  const int rows = capacity * model_.source.config.num_kv_heads;
  if (policy_.fused != nullptr && row_pieces() > 1 && !left_out_ && rows <= device_.multiprocessors) {
    cuda::SelectAndAttend args =
        policy_.fused->arguments(pool_.layer(layer), scored_batch(layer, capacity), selected(layer));
    args.attention = attention(layer, capacity);
    if (cuda::select_and_attend_supports(args)) {
      cuda::SelectAndAttendSchedule schedule = cuda::plan_select_and_attend(rows, device_.multiprocessors);
      split_rows(schedule, row_pieces(), cuda_.batch_invariant);
      return cuda_status(cuda::select_and_attend(args, schedule, stream_.get()), "selecting and attending");
    }
  }
  if (left_out_ != Stage::kSelect) { VORTEX_TRY(select(layer, capacity)); }
  return left_out_ == Stage::kAttention ? ok_status() : attend(layer, capacity, true);
}

Status Runner::sample(int first, int rows, const std::uint8_t* active) {
  const SlotArrays& slots = slots_.device();
  cuda::Sample args;
  args.logits = activations_.logits;
  args.type = cuda::LogitType::fp32;
  args.num_rows = rows;
  args.vocab = model_.source.config.vocab_size;
  args.stride = activations_.logit_stride;
  args.temperatures = slots.temperatures + first;
  args.top_k = slots.top_k + first;
  args.top_p = slots.top_p + first;
  args.seeds = slots.seeds + first;
  args.request_ids = slots.request_ids + first;
  args.positions = slots.lengths + first;
  args.active = active;
  args.tokens = slots.next_tokens + first;
  return cuda_status(cuda::sample(args, stream_.get()), "sampling");
}

cuda::EndStep Runner::end_of(int first, int count, const std::uint8_t* granted) const {
  cuda::EndStep end;
  end.slots = slots_.device();
  end.granted = granted;
  end.first = first;
  end.count = count;
  for (const int token : model_.source.config.eos_token_ids) { end.stop_tokens[end.num_stop_tokens++] = token; }
  return end;
}

Status Runner::finish_step(int capacity) {
  const model::ModelConfig& c = model_.source.config;
  const auto* granted = granted_.as<std::uint8_t>();
  if (left_out_ != Stage::kHead) {
    VORTEX_TRY(layers_->head(0, capacity, stream_.get()));
    VORTEX_TRY(sample(0, capacity, granted));
  }
  if (cuda_.link != nullptr) { VORTEX_TRY(cuda_.link->end(stream_.get())); }
  VORTEX_TRY(cuda_status(cuda::end_step(end_of(0, capacity, granted), stream_.get()), "ending a step"));
  if (left_out_ == Stage::kPlanning) { return ok_status(); }
  cuda::CountPages count;
  count.step_lengths = step_lengths_.as<std::int32_t>();
  count.counts = counts_.as<std::int32_t>();
  count.selects = selects_.as<std::uint8_t>();
  count.slots = capacity;
  count.max_slots = options_.max_batch;
  count.num_kv_heads = c.num_kv_heads;
  count.layers = c.num_layers;
  count.block = pool_.block();
  count.unscored = policy_.policy.config.reserved_eos;
  count.counters = counters_.as<cuda::PageCounters>();
  return cuda_status(cuda::count_pages(count, stream_.get()), "counting pages");
}

Status Runner::enqueue_step(int capacity, const LayerHook* hook) {
  VORTEX_TRY(begin_step(capacity));
  for (int layer = 0; layer < model_.source.config.num_layers; ++layer) {
    const bool sparse = policy_.sparse(layer);
    cuda::KvAppend append;
    append.active = granted_.as<std::uint8_t>();
    append.kv = pool_.layer(layer).kv;
    append.table = table(step_lengths_.as<std::int32_t>());
    if (sparse && policy_.fused != nullptr) { append.summary = policy_.fused->summary(pool_.layer(layer)); }
    VORTEX_TRY(layers_->attention_inputs(layer, capacity, append, stream_.get()));
    if (sparse) {
      VORTEX_TRY(select_and_attend(layer, capacity));
    } else if (left_out_ != Stage::kAttention) {
      VORTEX_TRY(attend(layer, capacity, false));
    }
    if (hook != nullptr && *hook) { VORTEX_TRY((*hook)(layer)); }
    VORTEX_TRY(layers_->attention_outputs(layer, capacity, granted_.as<std::uint8_t>(), stream_.get()));
  }
  return finish_step(capacity);
}

Status Runner::release_finished() {
  VORTEX_TRY(slots_.upload(stream_.get()));
  cuda::ReleasePages release;
  release.lengths = slots_.device().lengths;
  release.table = table_.as<std::int32_t>();
  release.finished = slots_.device().finished;
  release.free = {pool_.free_pages(), pool_.free_count()};
  release.num_requests = slots_.size();
  release.max_blocks = max_blocks_;
  release.block = pool_.block();
  VORTEX_TRY(cuda_status(cuda::release_pages(release, stream_.get()), "releasing pages"));
  VORTEX_TRY(stream_.synchronize("releasing pages"));
  for (int i = 0; i < slots_.size(); ++i) {
    if (slots_.host().finished[i] != 0) { slots_.clear(i); }
  }
  return ok_status();
}

Status Runner::move(std::span<const std::pair<int, int>> from_to) {
  if (from_to.empty()) { return ok_status(); }
  SlotArrays& host = slots_.host();
  for (size_t i = 0; i < from_to.size(); ++i) {
    slots_.move(from_to[i].first, from_to[i].second);
    if (reading_.slot == from_to[i].first) { reading_.slot = from_to[i].second; }
    host.move_from[i] = from_to[i].first;
    host.move_to[i] = from_to[i].second;
  }
  VORTEX_TRY(slots_.upload(stream_.get()));
  const SlotArrays& device = slots_.device();
  VORTEX_TRY(cuda_status(cuda::move_table_rows(table_.as<std::int32_t>(), max_blocks_, device.move_from, device.move_to,
                                               static_cast<int>(from_to.size()), stream_.get()),
                         "moving requests"));
  return stream_.synchronize("moving requests");
}

Status Runner::add_counters(RunStats& stats) const {
  std::vector<cuda::PageCounters> counters(model_.layers.size());
  VORTEX_TRY(stream_.synchronize("decoding"));
  VORTEX_TRY(cuda_status(cudaMemcpy(counters.data(), counters_.data(), counters_.bytes(), cudaMemcpyDeviceToHost),
                         "reading counters"));
  const model::ModelConfig& c = model_.source.config;
  const int64_t token_bytes = c.cached_values() / c.num_kv_heads * cuda::kv_type_size(pool_.type());
  VORTEX_ASSIGN(const int64_t touched, activations_.experts.touched());
  stats.weight_bytes_read += touched * model_.expert_bytes;
  const int64_t block_bytes = policy_.executable != nullptr ? scored_bytes(policy_.policy) : 0;
  for (size_t layer = 0; layer < counters.size(); ++layer) {
    const cuda::PageCounters& of_layer = counters[layer];
    (policy_.sparse(static_cast<int>(layer)) ? stats.sparse_layer_calls : stats.dense_layer_calls) += of_layer.calls;
    stats.pages_visible[layer] += of_layer.visible;
    stats.pages_attended[layer] += of_layer.attended;
    stats.kv_bytes_read += of_layer.tokens * token_bytes + of_layer.scored * block_bytes;
  }
  return ok_status();
}

cuda::LogProbs Runner::logit_rows(const std::uint8_t* active) const {
  cuda::LogProbs args;
  args.logits = activations_.logits;
  args.vocab = model_.source.config.vocab_size;
  args.stride = activations_.logit_stride;
  args.active = active;
  return args;
}

cuda::MeasureRecall Runner::attended(int layer, int capacity) const {
  const model::ModelConfig& c = model_.source.config;
  cuda::MeasureRecall args;
  args.q = activations_.q;
  args.kv = pool_.layer(layer).kv;
  args.table = table(step_lengths_.as<std::int32_t>());
  args.selection = selection(layer);
  args.num_requests = capacity;
  args.num_q_heads = c.num_q_heads;
  args.scale = attention_scale(c);
  args.reserved_first = policy_.policy.config.reserved_bos;
  args.reserved_last = policy_.policy.config.reserved_eos;
  return args;
}

}  // namespace vortex::engine
