// Prompts: chunked dense prefill into the pool, and snapshots of it.
#include <algorithm>
#include <numeric>
#include <vector>

#include "core/engine/cuda/runner.h"
#include "core/engine/packed_model.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/prefill.h"
#include "kernels/cuda/step.h"
#include "kernels/cuda/transfer.h"

namespace vortex::engine {
namespace {

constexpr int kSnapshotBlock = 16;

size_t image_elements(const model::ModelConfig& c, int tokens) {
  return static_cast<size_t>(c.cached_values()) * static_cast<size_t>(tokens);
}

// While it lives, products are those of prompts.
class PromptProducts {
 public:
  explicit PromptProducts(Layers& layers) : layers_(layers) { layers_.set_least_rows(kLeastPromptRows); }
  PromptProducts(const PromptProducts&) = delete;
  PromptProducts& operator=(const PromptProducts&) = delete;
  ~PromptProducts() { layers_.set_least_rows(0); }

 private:
  Layers& layers_;
};

}  // namespace

// Tokens that go through the layers together: [first, first + tokens.size()) of one prompt, or several prompts from
// their first token to their last one. Prompt i has the i-th row of page tables from `pages` on. The logits of `last`,
// the ends of the prompts, are wanted.
struct Runner::Chunk {
  std::span<const int32_t> tokens;
  int first = 0;
  std::span<const int> ends;  // [prompt] behind its last token; none: one prompt
  const std::int32_t* pages = nullptr;
  bool last = false;

  int prompts() const { return ends.empty() ? 1 : static_cast<int>(ends.size()); }
  int begin_of(int prompt) const { return prompt == 0 ? 0 : ends[static_cast<size_t>(prompt) - 1]; }
  int end_of(int prompt) const {
    return ends.empty() ? static_cast<int>(tokens.size()) : ends[static_cast<size_t>(prompt)];
  }
};

// Pages for tokens[slot] new tokens of each slot; lengths grow by as much. Sends the slots' state.
Status Runner::take_pages(std::span<const int> tokens) {
  const char* what = "planning a prompt";
  std::copy(tokens.begin(), tokens.end(), slots_.host().admitted_tokens);
  VORTEX_TRY(slots_.upload(stream_.get()));
  cuda::PlanStep plan;
  plan.lengths = slots_.device().lengths;
  plan.table = table_.as<std::int32_t>();
  plan.new_tokens = slots_.device().admitted_tokens;
  plan.granted = granted_.as<std::uint8_t>();
  plan.free = {pool_.free_pages(), pool_.free_count()};
  plan.num_requests = static_cast<int>(tokens.size());
  plan.max_blocks = max_blocks_;
  plan.block = pool_.block();
  VORTEX_TRY(cuda_status(cuda::plan_step(plan, stream_.get()), what));
  std::vector<std::uint8_t> granted(tokens.size());
  VORTEX_TRY(cuda_status(
      cudaMemcpyAsync(granted.data(), granted_.data(), granted.size(), cudaMemcpyDeviceToHost, stream_.get()), what));
  VORTEX_TRY(stream_.synchronize(what));
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] > 0 && granted[i] == 0) {
      return internal_error("a prompt was admitted for which there were no pages");
    }
  }
  return ok_status();
}

// Pages for tokens[i] tokens of the idle slot `slot` + i.
Status Runner::take_prompt_pages(int slot, std::span<const int> tokens) {
  std::vector<int> wanted(static_cast<size_t>(slots_.size()), 0);
  std::copy(tokens.begin(), tokens.end(), wanted.begin() + slot);
  VORTEX_TRY(take_pages(wanted));
  if (!policy_.zeroes_pages) { return ok_status(); }
  cuda::ZeroPages zero;
  zero.tensors = pool_.field_list();
  zero.num_tensors = pool_.num_fields();
  zero.table = {table_row(slot), slots_.device().lengths + slot, max_blocks_};
  zero.first_tokens = slots_.device().first_tokens + slot;
  zero.num_requests = static_cast<int>(tokens.size());
  zero.block = pool_.block();
  return cuda_status(cuda::zero_pages(zero, stream_.get()), "clearing fresh pages");
}

Status Runner::prepare_prompt(int tokens) {
  const PromptProducts products(*layers_);
  if (narrows()) { VORTEX_TRY(layers_->tune(1, 1, stream_.get())); }
  if (tokens >= prompt_chunk_) { VORTEX_TRY(layers_->tune(prompt_chunk_, 1, stream_.get())); }
  if (tokens % prompt_chunk_ != 0) { VORTEX_TRY(layers_->tune(tokens % prompt_chunk_, 1, stream_.get())); }
  return ok_status();
}

Status Runner::place(std::span<const int> lengths) {
  VORTEX_TRY(take_pages(lengths));
  const int longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  VORTEX_TRY(summarise(0, static_cast<int>(lengths.size()), longest));
  return fetch();
}

// Tunes the products of a chunk. Of ranks nobody may tune while a device still waits for a rank whose thread has not
// enqueued all of the chunk before: tuning allocates, and an allocation may wait for every device that can see it.
Status Runner::prepare_chunk(int rows, bool last) {
  const bool fresh = prepared_rows_.insert(rows).second;
  if (fresh && cuda_.link != nullptr) {
    VORTEX_TRY(stream_.synchronize("reading a prompt"));
    VORTEX_TRY(meet());
  }
  VORTEX_TRY(layers_->tune(rows, 1, stream_.get()));
  if (narrows() && last) { VORTEX_TRY(layers_->tune(1, 1, stream_.get())); }
  return meet();
}

Status Runner::compute_chunk(const Chunk& chunk, DevicePool& pool) {
  const model::ModelConfig& c = model_.source.config;
  const auto rows = static_cast<int>(chunk.tokens.size());
  const PromptProducts products(*layers_);
  VORTEX_TRY(prepare_chunk(rows, chunk.last));
  VORTEX_TRY(cuda_status(cudaMemcpyAsync(chunk_tokens_.data(), chunk.tokens.data(), chunk.tokens.size_bytes(),
                                         cudaMemcpyHostToDevice, stream_.get()),
                         "sending a prompt"));
  for (int prompt = 0; prompt < chunk.prompts(); ++prompt) {
    const int begin = chunk.begin_of(prompt);
    cuda::ChunkRows places;
    places.request = prompt;
    places.first = chunk.first;
    places.rows = chunk.end_of(prompt) - begin;
    places.requests = chunk_rows_.as<std::int32_t>() + begin;
    places.positions = places.requests + prompt_chunk_;
    VORTEX_TRY(cuda_status(cuda::chunk_rows(places, stream_.get()), "laying out a prompt"));
  }
  cuda::EmbedRows embed;
  embed.table = model_.embedding;
  embed.tokens = chunk_tokens_.as<std::int32_t>();
  embed.out = activations_.residual;
  embed.rows = rows;
  embed.width = c.hidden_size;
  VORTEX_TRY(cuda_status(cuda::embed_rows(embed, stream_.get()), "embedding a prompt"));
  return compute_layers(chunk, pool);
}

// Past the keys and values of the last layer only the prompts' last tokens are wanted.
Status Runner::compute_layers(const Chunk& chunk, DevicePool& pool) {
  const model::ModelConfig& c = model_.source.config;
  const auto rows = static_cast<int>(chunk.tokens.size());
  const auto* requests = chunk_rows_.as<std::int32_t>();
  const auto* positions = requests + prompt_chunk_;
  for (int layer = 0; layer < c.num_layers; ++layer) {
    cuda::KvAppend append;
    append.requests = requests;
    append.positions = positions;
    append.kv = pool.layer(layer).kv;
    append.table = {chunk.pages, positions, max_blocks_};  // lengths are not read where positions are given
    VORTEX_TRY(layers_->attention_inputs(layer, rows, append, stream_.get()));
    const bool narrow = narrows() && layer + 1 == c.num_layers;
    if (narrow && !chunk.last) { break; }
    if (narrow) { VORTEX_TRY(keep_ends(chunk)); }
    if (left_out_ != Stage::kAttention) { VORTEX_TRY(attend_prompts(chunk, append.kv, narrow)); }
    VORTEX_TRY(layers_->attention_outputs(layer, narrow ? chunk.prompts() : rows, nullptr, stream_.get()));
  }
  return ok_status();
}

// Every prompt's rows to its own pages; with `narrow` row i is the last one of prompt i.
Status Runner::attend_prompts(const Chunk& chunk, const cuda::KvPool& kv, bool narrow) {
  const model::ModelConfig& c = model_.source.config;
  for (int prompt = 0; prompt < chunk.prompts(); ++prompt) {
    const int begin = chunk.begin_of(prompt);
    const int rows = chunk.end_of(prompt) - begin;
    const int64_t row = narrow ? prompt : begin;
    cuda::PrefillAttention attention;
    attention.q = activations_.q + row * model_.q_size();
    attention.out = activations_.attended + row * model_.q_size();
    attention.kv = kv;
    attention.pages = chunk.pages + int64_t{prompt} * max_blocks_;
    attention.first = narrow ? chunk.first + rows - 1 : chunk.first;
    attention.rows = narrow ? 1 : rows;
    attention.num_q_heads = c.num_q_heads;
    attention.plain = cuda_.plain_prompts;
    attention.scale = attention_scale(c);
    VORTEX_TRY(
        cuda_status(device_attention(c).attend_prompt(model_, attention, stream_.get()), "attending to a prompt"));
  }
  return ok_status();
}

// Makes the last row of prompt i, between its queries and attention, row i. No row is written before it was read: in
// front of the end of prompt i lie at least i others.
Status Runner::keep_ends(const Chunk& chunk) {
  const auto copy = [&](cuda::Bf16* rows, int from, int to, int width) {
    return cuda_status(
        cudaMemcpyAsync(rows + int64_t{to} * width, rows + int64_t{from} * width,
                        sizeof(cuda::Bf16) * static_cast<size_t>(width), cudaMemcpyDeviceToDevice, stream_.get()),
        "keeping a prompt's last token");
  };
  for (int prompt = 0; prompt < chunk.prompts(); ++prompt) {
    const int last = chunk.end_of(prompt) - 1;
    if (last == prompt) { continue; }
    VORTEX_TRY(copy(activations_.residual, last, prompt, model_.source.config.hidden_size));
    VORTEX_TRY(copy(activations_.q, last, prompt, model_.q_size()));
  }
  return ok_status();
}

// The logits of the last tokens of `prompts` prompts, after their last chunk, of `rows` rows, in rows 0, 1, ...
Status Runner::last_logits(int rows, int prompts) {
  VORTEX_TRY(layers_->head(narrows() ? 0 : rows - 1, prompts, stream_.get()));
  return cuda_.link != nullptr ? cuda_.link->end(stream_.get()) : ok_status();
}

// Leaves the logits of the last token in row 0.
Status Runner::compute_prompt(std::span<const int32_t> prompt, DevicePool& pool, const std::int32_t* pages) {
  Chunk chunk;
  chunk.pages = pages;
  for (size_t first = 0; first < prompt.size(); first += chunk.tokens.size()) {
    chunk.first = static_cast<int>(first);
    chunk.tokens = prompt.subspan(first, std::min(prompt.size() - first, static_cast<size_t>(prompt_chunk_)));
    chunk.last = first + chunk.tokens.size() == prompt.size();
    VORTEX_TRY(compute_chunk(chunk, pool));
  }
  return last_logits(static_cast<int>(chunk.tokens.size()), 1);
}

// forward_cache of the complete pages of slots that hold up to `tokens` tokens each.
Status Runner::summarise(int first_slot, int slots, int tokens) {
  if (policy_.executable == nullptr || slots == 0) { return ok_status(); }
  for (int layer = 0; layer < model_.source.config.num_layers; ++layer) {
    if (!policy_.sparse(layer)) { continue; }
    compile::CudaBatch rows = batch(layer, slots, nullptr);
    rows.table = {table_row(first_slot), slots_.device().lengths + first_slot, max_blocks_};
    VORTEX_TRY(cuda_status(
        policy_.executable->update_range(pool_.layer(layer), rows, slots_.device().first_tokens + first_slot,
                                         pool_.blocks_for(tokens), stream_.get()),
        "running forward_cache on a prompt"));
  }
  return ok_status();
}

// Samples the first token of slot `slot` + i from row i of the logits.
Status Runner::finish_prompts(int slot, int prompts) {
  VORTEX_TRY(sample(slot, prompts, nullptr));
  VORTEX_TRY(cuda_status(cuda::end_step(end_of(slot, prompts, nullptr), stream_.get()), "ending a prompt"));
  return fetch();
}

Status Runner::prefill(int slot, std::span<const int32_t> prompt) {
  VORTEX_TRY(begin_prompt(slot, prompt));
  VORTEX_ASSIGN(const int left, read_prompt(static_cast<int>(prompt.size())));
  return left == 0 ? ok_status() : Status(internal_error("a prompt was not read to its end"));
}

Status Runner::begin_prompt(int slot, std::span<const int32_t> prompt) {
  if (reading_.slot >= 0) { return internal_error("a prompt was begun before the last one was read"); }
  const int tokens[] = {static_cast<int>(prompt.size())};
  VORTEX_TRY(take_prompt_pages(slot, tokens));
  VORTEX_TRY(fetch());  // the host's copy goes back to the device before every step
  reading_ = {slot, {prompt.begin(), prompt.end()}, 0};
  return ok_status();
}

Result<int> Runner::read_prompt(int most) {
  if (reading_.slot < 0) { return internal_error("no prompt was begun"); }
  const std::span<const int32_t> prompt = reading_.prompt;
  const size_t end = std::min(prompt.size(), reading_.done + static_cast<size_t>(std::max(1, most)));
  Chunk chunk;
  chunk.pages = table_row(reading_.slot);
  while (reading_.done < end) {
    chunk.first = static_cast<int>(reading_.done);
    chunk.tokens = prompt.subspan(reading_.done, std::min(end - reading_.done, static_cast<size_t>(prompt_chunk_)));
    reading_.done += chunk.tokens.size();
    chunk.last = reading_.done == prompt.size();
    VORTEX_TRY(compute_chunk(chunk, pool_));
  }
  const auto left = static_cast<int>(prompt.size() - end);
  if (left > 0) {
    VORTEX_TRY(stream_.synchronize("reading a prompt"));
    return left;
  }
  const int slot = reading_.slot;
  reading_.slot = -1;
  VORTEX_TRY(last_logits(static_cast<int>(chunk.tokens.size()), 1));
  VORTEX_TRY(summarise(slot, 1, static_cast<int>(prompt.size())));
  VORTEX_TRY(finish_prompts(slot, 1));
  return 0;
}

int Runner::most_together() const {
  return narrows() && !model_.source.config.latent ? std::min(kMostPromptsTogether, options_.max_batch) : 1;
}

Status Runner::read_together(int slot, std::span<const std::span<const int32_t>> prompts) {
  if (reading_.slot >= 0) { return internal_error("prompts were read together while another one was being read"); }
  std::vector<int32_t> tokens;
  std::vector<int> ends;
  std::vector<int> lengths;
  for (const std::span<const int32_t> prompt : prompts) {
    tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    ends.push_back(static_cast<int>(tokens.size()));
    lengths.push_back(static_cast<int>(prompt.size()));
  }
  const auto count = static_cast<int>(prompts.size());
  if (count < 1 || count > most_together() || static_cast<int>(tokens.size()) > prompt_chunk_) {
    return internal_error("more prompts were to be read together than fit");
  }
  VORTEX_TRY(take_prompt_pages(slot, lengths));
  VORTEX_TRY(fetch());
  Chunk chunk;
  chunk.tokens = tokens;
  chunk.ends = ends;
  chunk.pages = table_row(slot);
  chunk.last = true;
  VORTEX_TRY(compute_chunk(chunk, pool_));
  VORTEX_TRY(last_logits(static_cast<int>(tokens.size()), count));
  VORTEX_TRY(summarise(slot, count, *std::max_element(lengths.begin(), lengths.end())));
  return finish_prompts(slot, count);
}

// One layer of a slot's prompt from an image in device memory.
Status Runner::import_layer(int layer, int slot, cuda::Bf16* data, int tokens) {
  const cuda::KvImage image{data, pool_.layer(layer).kv, table_row(slot), tokens};
  return cuda_status(cuda::import_kv(image, stream_.get()), "loading a snapshot");
}

Status Runner::load_snapshot(int slot, const Prefix& prefix) {
  const model::ModelConfig& c = model_.source.config;
  const char* what = "loading a snapshot";
  const auto logits = static_cast<size_t>(c.vocab_size) * sizeof(float);
  if (prefix.on_device != nullptr) {
    for (int layer = 0; layer < c.num_layers; ++layer) {
      // Nothing writes there: the mapping could not be written to.
      auto* data = reinterpret_cast<cuda::Bf16*>(const_cast<cpu::Bf16*>(prefix.keys(layer, 0)));
      VORTEX_TRY(import_layer(layer, slot, data, prefix.tokens));
    }
    return cuda_status(
        cudaMemcpyAsync(activations_.logits, prefix.logits(), logits, cudaMemcpyDeviceToDevice, stream_.get()), what);
  }
  const size_t bytes = image_elements(c, prefix.tokens) * sizeof(cuda::Bf16);
  if (image_.bytes() < bytes) {
    VORTEX_TRY(stream_.synchronize(what));
    VORTEX_TRY(image_.allocate(bytes));
  }
  for (int layer = 0; layer < c.num_layers; ++layer) {
    VORTEX_TRY(cuda_status(
        cudaMemcpyAsync(image_.data(), prefix.keys(layer, 0), bytes, cudaMemcpyHostToDevice, stream_.get()), what));
    VORTEX_TRY(import_layer(layer, slot, image_.as<cuda::Bf16>(), prefix.tokens));
  }
  return cuda_status(
      cudaMemcpyAsync(activations_.logits, prefix.logits(), logits, cudaMemcpyHostToDevice, stream_.get()), what);
}

Status Runner::restore(int slot, const Prefix& prefix) {
  const int tokens[] = {prefix.tokens};
  VORTEX_TRY(take_prompt_pages(slot, tokens));
  VORTEX_TRY(load_snapshot(slot, prefix));
  VORTEX_TRY(summarise(slot, 1, prefix.tokens));
  return finish_prompts(slot, 1);
}

Status Runner::start_forced(int slot, std::span<const int32_t> prompt, const Prefix* prefix) {
  const auto tokens = static_cast<int>(prompt.size());
  VORTEX_TRY(take_prompt_pages(slot, {&tokens, 1}));
  if (prefix != nullptr) {
    VORTEX_TRY(load_snapshot(slot, *prefix));
  } else {
    VORTEX_TRY(compute_prompt(prompt, pool_, table_row(slot)));
  }
  VORTEX_TRY(summarise(slot, 1, tokens));
  return fetch();
}

Result<Prefix> Runner::snapshot(std::span<const int32_t> prompt) {
  const model::ModelConfig& c = model_.source.config;
  const auto tokens = static_cast<int>(prompt.size());
  const int pages = (tokens + kSnapshotBlock - 1) / kSnapshotBlock;
  DevicePool pool;
  VORTEX_TRY(pool.configure(c, kSnapshotBlock, cuda::KvType::bf16, nullptr, pages));
  std::vector<std::int32_t> order(static_cast<size_t>(pages));  // block i is page i
  std::iota(order.begin(), order.end(), 0);
  DeviceMemory table;
  VORTEX_TRY(table.allocate(order.size() * sizeof(std::int32_t)));
  VORTEX_TRY(
      cuda_status(cudaMemcpy(table.data(), order.data(), table.bytes(), cudaMemcpyHostToDevice), "making a snapshot"));
  const Status computed = compute_prompt(prompt, pool, table.as<std::int32_t>());
  const Status finished = stream_.synchronize("making a snapshot");
  VORTEX_TRY(computed);
  VORTEX_TRY(finished);

  Prefix prefix = make_prefix(model_.source, prompt);
  VORTEX_TRY(read_logits(0, const_cast<float*>(prefix.logits())));
  const size_t bytes = image_elements(c, tokens) * sizeof(cuda::Bf16);
  DeviceMemory image;
  VORTEX_TRY(image.allocate(bytes));
  for (int layer = 0; layer < c.num_layers; ++layer) {
    const cuda::KvImage args{image.as<cuda::Bf16>(), pool.layer(layer).kv, table.as<std::int32_t>(), tokens};
    VORTEX_TRY(cuda_status(cuda::export_kv(args, stream_.get()), "making a snapshot"));
    VORTEX_TRY(stream_.synchronize("making a snapshot"));
    VORTEX_TRY(cuda_status(
        cudaMemcpy(const_cast<cpu::Bf16*>(prefix.keys(layer, 0)), image.data(), bytes, cudaMemcpyDeviceToHost),
        "making a snapshot"));
  }
  return prefix;
}

Status Runner::read_logits(int row, float* out) const {
  const float* from = activations_.logits + int64_t{row} * activations_.logit_stride;
  VORTEX_TRY(stream_.synchronize("reading logits"));
  return cuda_status(cudaMemcpy(out, from, static_cast<size_t>(model_.source.config.vocab_size) * sizeof(float),
                                cudaMemcpyDeviceToHost),
                     "reading logits");
}

Status Runner::read_selection(int layer, int requests, std::vector<int32_t>& blocks,
                              std::vector<int32_t>& counts) const {
  const int heads = model_.source.config.num_kv_heads;
  const auto rows = static_cast<size_t>(requests * heads);
  blocks.resize(rows * static_cast<size_t>(policy_.max_selected));
  counts.resize(rows);
  const std::int32_t* of_layer = counts_.as<std::int32_t>() + int64_t{layer} * options_.max_batch * heads;
  VORTEX_TRY(stream_.synchronize("reading a selection"));
  VORTEX_TRY(cuda_status(cudaMemcpy(counts.data(), of_layer, rows * sizeof(int32_t), cudaMemcpyDeviceToHost),
                         "reading a selection"));
  return cuda_status(
      cudaMemcpy(blocks.data(), selected_.data(), blocks.size() * sizeof(int32_t), cudaMemcpyDeviceToHost),
      "reading a selection");
}

Status Runner::read_queries(int requests, std::vector<float>& out) const {
  std::vector<cpu::Bf16> narrow(static_cast<size_t>(requests * model_.q_size()));
  VORTEX_TRY(stream_.synchronize("reading queries"));
  VORTEX_TRY(
      cuda_status(cudaMemcpy(narrow.data(), activations_.q, narrow.size() * sizeof(cpu::Bf16), cudaMemcpyDeviceToHost),
                  "reading queries"));
  out.resize(narrow.size());
  for (size_t i = 0; i < narrow.size(); ++i) { out[i] = cpu::bf16_to_float(narrow[i]); }
  return ok_status();
}

Status Runner::reserve_kv(int tokens) {
  const size_t bytes = image_elements(model_.source.config, tokens) * sizeof(cpu::Bf16);
  return image_.bytes() < bytes ? image_.allocate(bytes) : ok_status();
}

Status Runner::read_kv(int layer, int slot, int tokens, std::vector<cpu::Bf16>& out) {
  out.resize(image_elements(model_.source.config, tokens));
  const size_t bytes = out.size() * sizeof(cpu::Bf16);
  VORTEX_TRY(stream_.synchronize("reading keys and values"));
  VORTEX_TRY(reserve_kv(tokens));
  const cuda::KvImage args{image_.as<cuda::Bf16>(), pool_.layer(layer).kv, table_row(slot), tokens};
  VORTEX_TRY(cuda_status(cuda::export_kv(args, stream_.get()), "reading keys and values"));
  VORTEX_TRY(stream_.synchronize("reading keys and values"));
  return cuda_status(cudaMemcpy(out.data(), image_.data(), bytes, cudaMemcpyDeviceToHost), "reading keys and values");
}

}  // namespace vortex::engine
