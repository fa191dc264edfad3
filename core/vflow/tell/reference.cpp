#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/tell/explain.h"

namespace vortex::vflow {
namespace {

std::string default_text(const ArgInfo& arg) {
  if (arg.arg == Arg::kKronAxes) { return "(1, 2)"; }
  if (arg.arg == Arg::kLayerLookup) { return "None"; }
  return arg.default_value ? format_number(*arg.default_value) : "";
}

// "Softmax(dim=0, scale=1)".
std::string signature(const OpInfo& info) {
  if (info.op == Op::kReshape) { return "Reshape(-1, rows, cols)"; }
  std::vector<std::string> arguments;
  for (const ArgInfo& arg : info.args) {
    if (arg.arg == Arg::kDtype || arg.arg == Arg::kDevice) { continue; }
    const bool ignored = (arg.arg == Arg::kAlpha || arg.arg == Arg::kBeta) && !info.uses_alpha_beta;
    if (ignored) { continue; }
    const std::string value = default_text(arg);
    arguments.push_back(std::string(arg.name) + (value.empty() ? "" : "=" + value));
  }
  return std::string(info.name) + "(" + join(arguments, ", ") + ")";
}

constexpr std::string_view kIntroduction = R"(# vFlow

A policy scores the pages of the KV cache for a query; attention then reads only the best pages. It is a Python module
that is traced once, never run: `q`, fields and results are shapes, so there are no tensor operators (`+`, `.mean`), no
torch functions on them, no control flow on values. All work is done by operations made in `__init__` and called once.

```python
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, topK


@register("head_max_centroid")
class HeadMaxCentroid(vFlow):
    def __init__(self):
        super().__init__()
        self.c_mean = CMean(dim=1)
        self.gemm = GeMM()
        self.max = Max(dim=2)
        self.topk = topK()

    def create_cache(self, block_size, head_dim):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.c_mean(cache["k"], output=cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        dots = self.gemm(q, cache["centroid"], ctx=ctx)  # [S, 1, G]
        self.topk(self.max(dots, ctx=ctx), o, ctx=ctx)
```

Rules
- `create_cache` names the fields of a page with their shapes. `k` and `v` `[block_size, head_dim]` are there already.
- `forward_cache` runs when a page is full, on that page alone. An operation writes a field with `output=cache["f"]` or
  gives a value with `output=None`. Every field needs a writer (`Fill` for state), and is read in the indexer only.
- `forward_indexer` runs every decode step for every kv head. `q` is `[1, G, head_dim]` with the G query heads that share
  the kv head; a field is `[S, rows, cols]` with one entry a page. It ends with exactly one `topK`, `approxTopK` or `Union`.
- Calls: `op(x, ctx=ctx)`, `op(x, y, ctx=ctx)`, `topk(score, o, ctx=ctx)`, `load(cache["f"], ctx=ctx)`,
  `save(x, cache["f"], ctx=ctx)`, `union(topk_a(x, ctx=ctx), topk_b(y, ctx=ctx), o, ctx=ctx)`; on the cache side also `loc=loc`.
- Formats: BATCHED is one value a row (`q` and what comes from it alone), RAGGED one a page, PAGED a field. A result is
  BATCHED only if all operands are. Inner sizes broadcast where equal or 1. dim 1 is rows, dim 2 columns, dim 0 pages.
- The first `block_reserved_bos` and last `block_reserved_eos` pages are always attended and never compete; operations
  over pages see the middle only. While all pages fit the budget, nothing is scored and nothing is saved.
- `topK` keeps only the order of scores: a monotone last step (Sigmoid, Exp, adding a constant) changes nothing.
- State: `Load` gives the value from before this step's `Save`; a field with `Save` needs `Fill` in `forward_cache` and
  `"disable_radix_cache": true`.
- MLA models: base class `vFlowMLA`, `create_cache(block_size, kv_lora_rank, qk_rope_head_dim)`, and one field
  `latent` `[block_size, kv_lora_rank + qk_rope_head_dim]` instead of `k` and `v`.

Operations (C: cache side, from `vortex_torch.cache`; I: indexer, from `vortex_torch.indexer`)
)";

constexpr std::string_view kConfiguration = R"(
Configuration (the .json): `vortex_module_path`, `vortex_module_name` (the `@register` string: letters, digits, `_`, `-`), `vortex_block_size` (tokens
a page, a power of two), `vortex_topk_val` (middle pages), `vortex_topk_ratio` (share of the pages; the larger budget
counts), `vortex_block_reserved_bos` (0 or more), `vortex_block_reserved_eos` (1 or more), `vortex_layers_skip` (layers that stay
dense), `vortex_schedule_policy` (absent, or C++ that gives the budget from `cached_block_len`, `topk_val`, `topk_ratio`,
`block_reserved_bos` and `block_reserved_eos`, e.g. `"return max(topk_val, cached_block_len / 16);"`),
`vortex_attention_backend` (`"trtllm"` where `TopK` or `Union` select), `disable_radix_cache`, `model_path`.
)";

std::string sides(const OpInfo& info) { return info.on_cache && info.on_indexer ? "C I" : info.on_cache ? "C" : "I"; }

}  // namespace

std::string language_reference_markdown() {
  std::string text(kIntroduction);
  std::string_view rule;
  for (const OpInfo& info : op_table()) {
    if (info.name.empty()) { continue; }
    if (info.shape_rule != rule) { text += "\n" + std::string(rule = info.shape_rule) + "\n"; }
    text += "- `" + signature(info) + "` " + sides(info) + ": " + std::string(info.formula) + "\n";
  }
  return text + std::string(kConfiguration);
}

std::string ops_json() {
  nlohmann::ordered_json ops = nlohmann::ordered_json::array();
  for (const OpInfo& info : op_table()) {
    if (info.name.empty()) { continue; }
    nlohmann::ordered_json arguments = nlohmann::ordered_json::array();
    for (const ArgInfo& arg : info.args) {
      nlohmann::ordered_json argument = {{"name", arg.name}};
      if (arg.default_value) { argument["default"] = *arg.default_value; }
      if (arg.arg == Arg::kKronAxes) { argument["default"] = {1, 2}; }
      if (arg.arg == Arg::kLayerLookup || arg.arg == Arg::kDtype || arg.arg == Arg::kDevice) {
        argument["default"] = nullptr;
      }
      arguments.push_back(std::move(argument));
    }
    nlohmann::ordered_json places = nlohmann::ordered_json::array();
    if (info.on_cache) { places.push_back("cache"); }
    if (info.on_indexer) { places.push_back("indexer"); }
    ops.push_back({{"name", info.name},
                   {"sides", std::move(places)},
                   {"arguments", std::move(arguments)},
                   {"operands", info.arity},
                   {"commutative", info.commutative},
                   {"over_pages", info.reach == Reach::kRow},
                   {"formula", info.formula},
                   {"shapes", info.shape_rule}});
  }
  return ops.dump(2);
}

}  // namespace vortex::vflow
