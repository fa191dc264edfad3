#include <algorithm>
#include <cstdio>

#include "core/vflow/check/check.h"
#include "core/vflow/graph/row_pages.h"
#include "core/vflow/quote.h"

namespace vortex::vflow {
namespace {

constexpr int kMaxPages = 32767;   // vortex_torch counts a row's pages in int16
constexpr int kApproxLimit = 256;  // pages that its approximate selection takes

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// Calls `visit` for every node of an operation with its place.
template <typename Visit>
void for_each(const Graph& graph, const std::vector<Span>& spans, Op op, Visit visit) {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op == op) { visit(graph.nodes[i], spans[i]); }
  }
}

void check_selection(const CheckInput& input) {
  const Graph& graph = input.trace.program.indexer;
  const std::vector<Span>& spans = input.trace.spans.indexer;
  for_each(graph, spans, Op::kTopKTable, [&](const Node& node, Span span) {
    if (passthrough(input.config, "vortex_attention_backend") != "\"trtllm\"") {
      input.module.error(span,
                         {"needs-trtllm", "TopK and Union exist only with the trtllm attention backend", "",
                          "add \"vortex_attention_backend\": \"trtllm\" to the configuration, or select with topK"});
    }
    if (input.config.topk_val > node.attrs.k) {
      input.module.error(span,
                         {"topk-hazard",
                          "vortex_topk_val " + std::to_string(input.config.topk_val) +
                              " is above this TopK's k = " + std::to_string(node.attrs.k) +
                              ": rows that fit the larger budget are not scored, but TopK would read their scores",
                          "", "set vortex_topk_val to at most " + std::to_string(node.attrs.k)});
    }
  });
  for_each(graph, spans, Op::kApproxTopK, [&](const Node&, Span span) {
    if (input.config.topk_val > kApproxLimit) {
      input.module.warn(span,
                        {"approx-limit", "approxTopK of vortex_torch selects at most " + std::to_string(kApproxLimit) +
                                             " pages, vortex_topk_val is " + std::to_string(input.config.topk_val)});
    }
  });
  for_each(graph, spans, Op::kSave, [&](const Node&, Span span) {
    const bool in_text = input.module.source().text().find("Save(") != std::string_view::npos;  // reported there
    if (!input.config.disable_radix_cache && !in_text) {
      input.module.error(span, {"save-needs-no-radix-cache", "Save changes pages that a shared prefix would reuse", "",
                                "add \"disable_radix_cache\": true to the configuration"});
    }
  });
}

// vortex_torch's cache reductions take bfloat16 and fp8 only, so with float32 fields they cannot be chained.
void check_dtype(const CheckInput& input) {
  if (input.config.dtype != Dtype::kFp32) { return; }
  const Graph& graph = input.trace.program.cache;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const bool reduces = (node.op >= Op::kMean && node.op <= Op::kL2NormInterleave);
    if (!reduces || graph.nodes[static_cast<size_t>(node.inputs[0])].op == Op::kField) { continue; }
    input.module.error(
        input.trace.spans.cache[i],
        {"dtype-chain", "with vortex_dtype \"float32\" a cache reduction can only read k or v, not another result", "",
         "use \"bfloat16\", or reduce in forward_indexer"});
  }
}

// "64 or 128"
template <typename List, typename Name>
std::string alternatives(const List& list, const Name& name) {
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == list.size() ? " or " : ", ") + name(list[i]);
  }
  return text;
}

template <typename List, typename Value>
bool covers(const List& list, const Value& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

// Can the backend run what is asked for? Found out here rather than by the engine.
void check_backend(const CheckInput& input) {
  const BackendLimits& backend = input.model.backend;
  if (backend.name.empty()) { return; }
  const std::string taken = "the " + backend.name + " backend takes ";
  const bool latent = input.model.kv_lora_rank > 0;  // a backend that has kernels for latents has them for any size
  if (!latent && !covers(backend.head_dims, input.model.head_dim)) {
    const std::string dims = alternatives(backend.head_dims, [](int dim) { return std::to_string(dim); });
    input.config_file.error(
        {0, 1}, {"backend-head-dim",
                 taken + "a head_dim of " + dims + "; the model has " + std::to_string(input.model.head_dim), dims,
                 backend.remedy});
  }
  if (input.config.block_size % backend.block_multiple != 0) {
    const std::string multiple = std::to_string(backend.block_multiple);
    input.config_file.error(key_span(input.config_file, "vortex_block_size"),
                            {"backend-block-size",
                             taken + "blocks of a multiple of " + multiple + " tokens, vortex_block_size is " +
                                 std::to_string(input.config.block_size),
                             "multiples of " + multiple, "set vortex_block_size to " + multiple});
  }
  const std::vector<Dtype> kv_dtypes = latent ? std::vector{Dtype::kBf16} : backend.kv_dtypes;
  if (!covers(kv_dtypes, input.config.kv_dtype)) {
    const std::string types = alternatives(kv_dtypes, [](Dtype dtype) { return std::string(dtype_name(dtype)); });
    input.config_file.error(key_span(input.config_file, "kv_cache_dtype"),
                            {"backend-kv-dtype",
                             taken + (latent ? "latents as " : "k and v as ") + types + ", not as " +
                                 std::string(dtype_name(input.config.kv_dtype)),
                             types, "set kv_cache_dtype to \"auto\", which is bfloat16"});
  }
  const size_t fields = input.trace.program.fields.size();
  if (backend.max_fields > 0 && fields > backend.max_fields) {
    input.config_file.error({0, 1}, {"backend-fields",
                                     taken + "at most " + std::to_string(backend.max_fields) +
                                         " cache fields, k and v among them; there are " + std::to_string(fields),
                                     "", "join some fields into one of more rows"});
  }
}

// Is the rule defined at every length? vortex_torch compiles its text as C++, where a division by zero or an overflow
// may do anything. False after a report.
bool check_schedule(const CheckInput& input, int pages) {
  const EngineConfig& config = input.config;
  for (int blocks = 1; blocks <= pages && !config.schedule.is_default(); ++blocks) {
    const auto fault = config.schedule.fault(schedule_inputs(config, blocks));
    if (!fault) { continue; }
    input.config_file.error(key_span(input.config_file, "vortex_schedule_policy"),
                            {"schedule-fault", "at " + std::to_string(blocks) + " pages the schedule policy " + *fault,
                             "arithmetic that is defined at every length from 1 to " + std::to_string(pages) + " pages",
                             "guard the operand, e.g. max(1, ...) for a divisor or min(..., 1000000) for a factor"});
    return false;
  }
  return true;
}

void check_budget(const CheckInput& input, int pages) {
  const EngineConfig& config = input.config;
  if (!check_schedule(input, pages)) { return; }
  const int reserved = config.reserved_bos + config.reserved_eos;
  int sparse_from = 0;
  // A rule of the policy's own may do anything at any length; ours grows with it, so steps of an eighth will do.
  const bool steady = config.schedule.is_default();
  for (int blocks = 1; blocks <= pages; blocks += steady ? std::max(1, blocks / 8) : 1) {
    const int selected = selected_blocks(config, blocks);
    if (selected >= blocks) { continue; }
    if (sparse_from == 0) { sparse_from = blocks; }
    if (selected > reserved) { continue; }
    input.config_file.error(
        key_span(input.config_file, "vortex_schedule_policy"),
        {"budget",
         "at " + std::to_string(blocks) + " pages the schedule policy gives a budget of " + std::to_string(selected) +
             ", but " + std::to_string(reserved) + " pages are reserved and at least one must be left to choose",
         "a budget above vortex_block_reserved_bos + vortex_block_reserved_eos",
         "add block_reserved_bos + block_reserved_eos to the budget"});
    return;
  }
  if (sparse_from == 0 && selected_blocks(config, pages) >= pages) {
    input.config_file.warn(
        key_span(input.config_file, "vortex_topk_val"),
        {"never-sparse",
         "the budget covers all " + std::to_string(pages) + " pages of the longest context, so nothing is ever skipped",
         "", "lower vortex_topk_val (now " + std::to_string(config.topk_val) + ")"});
  }
}

// Does the policy choose no more than the user allows, at any length?
void check_token_budget(const CheckInput& input, int pages) {
  const int64_t allowed = input.model.token_budget;
  const int64_t block = input.config.block_size;
  if (allowed == 0) { return; }
  // A rule of the policy's own may do anything at any length; ours grows with it.
  for (int blocks = input.config.schedule.is_default() ? pages : 1; blocks <= pages; ++blocks) {
    const RowPages row = row_pages(input.trace.program, input.config, blocks);
    const int64_t chosen = (row.most - row.reserved) * block;
    if (chosen <= allowed) { continue; }
    const int64_t fitting = allowed / block;
    input.config_file.error(
        key_span(input.config_file, "vortex_topk_val"),
        {"token-budget",
         "at " + std::to_string(blocks * block) + " tokens of context " + std::to_string(chosen) +
             " are chosen, reserved pages aside; the token budget is " + std::to_string(allowed),
         "at most " + std::to_string(fitting) + " pages of " + std::to_string(block) + " tokens",
         fitting > 0 ? "set vortex_topk_val to " + std::to_string(fitting) + " and vortex_topk_ratio to 0"
                     : "use a smaller vortex_block_size"});
    return;
  }
}

void check_layers(const CheckInput& input) {
  const int layers = input.model.layers;
  int dense = 0;
  for (int layer : input.config.layers_skip) {
    if (layer < layers) {
      ++dense;
      continue;
    }
    // The default list is nobody's mistake; it cannot name a layer that does not exist, since there is a layer 0.
    input.config_file.error(key_span(input.config_file, "vortex_layers_skip"),
                            {"layers", "vortex_layers_skip names layer " + std::to_string(layer) +
                                           ", the model has layers 0 to " + std::to_string(layers - 1)});
  }
  if (dense == layers) {
    input.config_file.warn(key_span(input.config_file, "vortex_layers_skip"),
                           {"all-dense", "every layer is dense, so the policy never runs"});
  }
}

void check_memory(const CheckInput& input, int pages) {
  const Program& program = input.trace.program;
  const int64_t rows = program.dialect == Dialect::kMla ? 1 : input.model.num_kv_heads;
  int64_t kv = 0;
  int64_t fields = 0;
  std::string list;
  size_t largest = 0;
  for (size_t i = 0; i < program.fields.size(); ++i) {
    const Field& field = program.fields[i];
    const int64_t elements = field.shape.size();
    if (field.builtin) {
      kv += elements * dtype_bytes(input.config.kv_dtype);
      continue;
    }
    const int64_t bytes = elements * dtype_bytes(input.config.dtype);
    fields += bytes;
    if (elements > program.fields[largest].shape.size() || program.fields[largest].builtin) { largest = i; }
    list +=
        (list.empty() ? "" : ", ") + field.name + " " + shape_text(field.shape) + " " + std::to_string(bytes) + " B";
  }
  const Span place = input.trace.fields.empty() ? input.trace.class_name : input.trace.fields[largest];
  const std::string share = "a page and kv head takes " + std::to_string(kv) + " B of KV and " +
                            std::to_string(fields) + " B of fields (" + list + ")";
  // In floating point: a hostile number of layers or heads must not overflow the product.
  const double total = static_cast<double>(pages) * static_cast<double>(rows) * input.model.layers *
                       (static_cast<double>(kv) + static_cast<double>(fields));
  const int64_t limit = input.model.kv_memory_bytes;
  if (limit > 0 && total > static_cast<double>(limit)) {
    input.module.error(place,
                       {"memory",
                        share + "; " + std::to_string(pages) + " pages x " + std::to_string(rows) + " kv heads x " +
                            std::to_string(input.model.layers) + " layers need " +
                            megabytes(static_cast<int64_t>(std::min(total, 9e18))) + ", there are " + megabytes(limit),
                        "", "smaller fields: reduce along dim 1 before storing"});
  } else if (fields >= kv) {
    input.module.warn(place, {"heavy-fields", share + ": the fields outweigh the cache they summarise", "",
                              "reduce along dim 1 before storing"});
  }
}

}  // namespace

Span key_span(const Reporter& reporter, std::string_view key) {
  const size_t at = reporter.source().text().find(quote(key));
  if (at == std::string_view::npos) { return {0, 1}; }
  return {static_cast<uint32_t>(at), static_cast<uint32_t>(at + key.size() + 2)};
}

std::string_view passthrough(const EngineConfig& config, std::string_view key) {
  for (const auto& [known, value] : config.passthrough) {
    if (known == key) { return value; }
  }
  return {};
}

void check_text_contract(std::string_view name, const EngineConfig& config, Reporter& module) {
  const std::string_view text = module.source().text();
  const std::string shown(name);
  if (text.find("@register(\"" + shown + "\")") == std::string_view::npos &&
      text.find("@register('" + shown + "')") == std::string_view::npos && module.errors() == 0) {
    const size_t at = text.find("@");
    const auto begin = static_cast<uint32_t>(at == std::string_view::npos ? 0 : at);
    module.error(
        {begin, begin + 1},
        {"register-text", "vortex_torch searches the text for @register(\"" + shown + "\") and does not find it",
         "the literal decorator, without blanks or another name for register", "write @register(\"" + shown + "\")"});
  }
  const size_t save = text.find("Save(");
  if (save != std::string_view::npos && !config.disable_radix_cache) {
    const auto begin = static_cast<uint32_t>(save);
    module.error({begin, begin + 5}, {"save-text",
                                      "the text contains `Save(`, comments and docstrings included, so vortex_torch "
                                      "demands \"disable_radix_cache\": true",
                                      "", "set disable_radix_cache to true, or reword if nothing is saved"});
  }
}

void check_fit(const CheckInput& input) {
  check_selection(input);
  check_dtype(input);
  check_layers(input);
  check_backend(input);
  const int64_t block = input.config.block_size;
  const auto pages = static_cast<int>((int64_t{input.model.max_context} + block - 1) / block);
  if (pages > kMaxPages) {
    input.config_file.error(
        key_span(input.config_file, "vortex_block_size"),
        {"too-many-pages",
         "a context of " + std::to_string(input.model.max_context) + " tokens has " + std::to_string(pages) +
             " pages of " + std::to_string(block) + " tokens; a row can have " + std::to_string(kMaxPages),
         "", "use a larger vortex_block_size"});
    return;
  }
  check_budget(input, pages);
  check_token_budget(input, pages);
  check_memory(input, pages);
}

}  // namespace vortex::vflow
