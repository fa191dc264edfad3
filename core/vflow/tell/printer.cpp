#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/policy.h"
#include "core/vflow/tell/formula.h"
#include "core/vflow/vary/config_moves.h"

namespace vortex::vflow {
namespace {

// "MeanInterleave" -> "mean_interleave", "GeMM" -> "gemm", "topK" -> "topk".
std::string snake_case(std::string_view name) {
  if (name == "GeMM" || name == "GeMV" || name == "topK" || name == "TopK" || name == "L2Norm") {
    std::string text(name);
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return name == "TopK" ? "topk_table" : text;
  }
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool starts_word = i > 0 && std::isupper(static_cast<unsigned char>(name[i])) &&
                             std::islower(static_cast<unsigned char>(name[i - 1]));
    if (starts_word) { text += '_'; }
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return text;
}

// "block_topk-2" -> "BlockTopk2Flow".
std::string class_name(const std::string& name) {
  std::string text;
  bool upper = true;
  for (char c : name) {
    const unsigned char letter = static_cast<unsigned char>(c);
    const bool usable = letter < 128 && std::isalnum(letter);
    if (usable && !(text.empty() && std::isdigit(letter))) {
      text += upper ? static_cast<char>(std::toupper(letter)) : c;
    }
    upper = !usable;
  }
  return text + "Flow";
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') { result += '\\'; }
    result += c;
  }
  return result + "\"";
}

// A nested Python list of `dims` sizes over row-major data.
// The shortest decimal that reads back as the same float: 0.6, not the double next to it.
std::string shortest(float value) {
  std::array<char, 32> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

std::string nested_list(const std::vector<int>& dims, const std::vector<float>& data) {
  std::string text;
  for (size_t i = 0; i < data.size(); ++i) {
    if (i > 0) { text += ", "; }
    size_t block = 1;
    for (size_t d = dims.size(); d-- > 0;) {
      block *= static_cast<size_t>(dims[d]);
      if (i % block == 0) { text.insert(text.size(), "["); }
    }
    text += shortest(data[i]);
    block = 1;
    for (size_t d = dims.size(); d-- > 0;) {
      block *= static_cast<size_t>(dims[d]);
      if ((i + 1) % block == 0) { text += "]"; }
    }
  }
  return text;
}

class ModulePrinter {
 public:
  explicit ModulePrinter(const Program& program) : program_(program) {
    for (const Field& field : program_.fields) { has_fields_ = has_fields_ || !field.builtin; }
    if (!has_fields_) { add_placeholder_field(); }
    print_cache();
    print_indexer();
  }

  std::string text() const {
    std::string out = docstring() + imports() + "\n\n";
    const bool mla = program_.dialect == Dialect::kMla;
    out += "@register(" + quoted(program_.name) + ")\n";
    out += "class " + class_name(program_.name) + (mla ? "(vFlowMLA):\n" : "(vFlow):\n");
    out += "    def __init__(self):\n        super().__init__()\n" + constructors_;
    out += mla ? "\n    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int)"
               : "\n    def create_cache(self, block_size: int, head_dim: int)";
    out += " -> Dict[str, Tuple[int, int]]:\n        return {\n";
    for (const Field& field : program_.fields) {
      if (field.builtin) { continue; }
      out += "            " + quoted(field.name) + ": (" + size_text(field.shape.rows, true) + ", " +
             size_text(field.shape.cols, false) + "),\n";
    }
    out += "        }\n";
    out += "\n    def forward_cache(self, cache, loc, ctx):\n" + cache_body_;
    out += "\n    def forward_indexer(self, q, o, cache, ctx):\n" + indexer_body_;
    return out;
  }

 private:
  // vortex_torch wants at least one output of forward_cache.
  void add_placeholder_field() {
    std::string name = "unused";
    const auto taken = [&](const Field& field) { return field.name == name; };
    while (std::any_of(program_.fields.begin(), program_.fields.end(), taken)) { name += "_"; }
    Attrs attrs;
    attrs.field = static_cast<int>(program_.fields.size());
    program_.fields.push_back({name, {1, 1}, false});
    program_.cache.nodes.push_back({Op::kFill, {}, attrs, {1, 1}, Format::kPaged, {}});
  }

  std::string docstring() const {
    std::string out = "\"\"\"" + (program_.name.find_first_of("\"\\") == std::string::npos ? program_.name : "policy");
    out += "\n\n";
    for (const std::string& line : formula_lines(program_)) { out += "    " + line + "\n"; }
    return out + "\"\"\"\n\n";
  }

  std::string imports() const {
    std::string out = "from typing import Dict, Tuple\n\n";
    if (uses_torch_) { out += "import torch\n"; }
    if (!cache_imports_.empty()) {
      std::vector<std::string> names;
      for (const std::string& name : cache_imports_) { names.push_back(name + " as C" + name); }
      out += "from vortex_torch.cache import " + join(names, ", ") + "\n";
    }
    out += std::string("from vortex_torch.flow import ") +
           (program_.dialect == Dialect::kMla ? "register, vFlowMLA\n" : "register, vFlow\n");
    if (!indexer_imports_.empty()) {
      out +=
          "from vortex_torch.indexer import " + join({indexer_imports_.begin(), indexer_imports_.end()}, ", ") + "\n";
    }
    return out;
  }

  // A field's size by the name that create_cache has for it, where there is one.
  std::string size_text(int size, bool rows) const {
    const Geometry& g = program_.geometry;
    const std::string head = program_.dialect == Dialect::kMla ? "kv_lora_rank + qk_rope_head_dim" : "head_dim";
    if (size > 1 && rows && size == g.block_size) { return "block_size"; }
    if (size > 1 && size == g.head_dim) { return head; }
    if (size > 1 && size == g.block_size) { return "block_size"; }
    if (size > 1 && rows && g.block_size % size == 0) { return "block_size // " + std::to_string(g.block_size / size); }
    return std::to_string(size);
  }

  std::string unique_name(std::set<std::string>& taken, const std::string& base) {
    std::string name = base;
    for (int i = 2; !taken.insert(name).second; ++i) { name = base + "_" + std::to_string(i); }
    return name;
  }

  // Declares an operation in __init__ and gives its member name.
  std::string construct(Side side, const Node& node) {
    const OpInfo& info = op_info(node.op);
    const bool cache = side == Side::kCache;
    (cache ? cache_imports_ : indexer_imports_).insert(std::string(info.name));
    const std::string member = unique_name(members_, (cache ? "c_" : "") + snake_case(info.name));
    constructors_ += "        self." + member + " = " + (cache ? "C" : "") + std::string(info.name) + "(" +
                     arguments(info, node) + ")\n";
    return "self." + member;
  }

  std::string arguments(const OpInfo& info, const Node& node) {
    const Attrs defaults = default_attrs(node.op);
    std::vector<std::string> list;
    for (const ArgInfo& arg : info.args) {
      const std::string keyword = std::string(arg.name) + "=";
      switch (arg.arg) {
        case Arg::kAlpha:
        case Arg::kBeta:
          if (!info.uses_alpha_beta) { break; }
          [[fallthrough]];
        case Arg::kScale:
        case Arg::kTolerance: {
          const double value = get_arg(node.attrs, arg.arg);
          if (value != get_arg(defaults, arg.arg)) { list.push_back(keyword + format_number(value)); }
          break;
        }
        case Arg::kKronAxes:
          list.push_back(keyword + (node.attrs.kron_axes == 3 ? "(1, 2)" : std::to_string(node.attrs.kron_axes)));
          break;
        case Arg::kLeading:
          list.push_back("-1");
          break;
        case Arg::kRows:
          list.push_back(std::to_string(node.shape.rows));
          break;
        case Arg::kCols:
          list.push_back(std::to_string(node.shape.cols));
          break;
        case Arg::kWeight:
          list.push_back(constant_list(node));
          break;
        case Arg::kValue:
          uses_torch_ = true;
          list.push_back("torch.tensor(" + constant_list(node) + ", dtype=torch.bfloat16)");
          break;
        case Arg::kLayerLookup:
          if (!constant(node).layer_lookup.empty()) { list.push_back(keyword + lookup_list(constant(node))); }
          break;
        case Arg::kDtype:
        case Arg::kDevice:
          break;
        case Arg::kDim:
        case Arg::kInterleave:
        case Arg::kCount:
        case Arg::kStart:
        case Arg::kEnd:
          list.push_back(keyword + format_number(get_arg(node.attrs, arg.arg)));
      }
    }
    return join(list, ", ");
  }

  const Constant& constant(const Node& node) const {
    return program_.constants[static_cast<size_t>(node.attrs.constant)];
  }
  std::string constant_list(const Node& node) const { return nested_list(constant(node).dims, constant(node).data); }
  static std::string lookup_list(const Constant& constant) {
    std::vector<std::string> layers;
    for (int layer : constant.layer_lookup) { layers.push_back(std::to_string(layer)); }
    return "[" + join(layers, ", ") + "]";
  }

  std::string field_text(const Node& node) const {
    return "cache[" + quoted(program_.fields[static_cast<size_t>(node.attrs.field)].name) + "]";
  }

  static std::string shape_comment(const Node& node) {
    const bool batched = node.format == Format::kBatched;
    return std::string("  # [") + (batched ? "1" : "S") + ", " + std::to_string(node.shape.rows) + ", " +
           std::to_string(node.shape.cols) + "]";
  }

  std::string call(const std::string& member, const std::vector<std::string>& texts, const Node& node,
                   const std::string& rest) const {
    std::vector<std::string> list;
    for (int input : node.inputs) { list.push_back(texts[static_cast<size_t>(input)]); }
    if (!rest.empty()) { list.push_back(rest); }
    return member + "(" + join(list, ", ") + ")";
  }

  void print_cache() {
    const std::vector<Node>& nodes = program_.cache.nodes;
    std::vector<bool> is_operand(nodes.size());
    for (const Node& node : nodes) {
      if (node.op == Op::kStore) { continue; }
      for (int input : node.inputs) { is_operand[static_cast<size_t>(input)] = true; }
    }
    std::vector<std::string> texts(nodes.size());
    std::set<std::string> locals = {"self", "cache", "loc", "ctx"};
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = nodes[i];
      if (node.op == Op::kField) {
        texts[i] = field_text(node);
      } else if (node.op == Op::kFill) {
        cache_body_ += "        " + construct(Side::kCache, node) + "(" + field_text(node) + ", loc=loc, ctx=ctx)\n";
      } else if (node.op == Op::kStore) {
        const Node& source = nodes[static_cast<size_t>(node.inputs[0])];
        cache_body_ +=
            "        " +
            call(construct(Side::kCache, source), texts, source, "output=" + field_text(node) + ", loc=loc, ctx=ctx") +
            "\n";
      } else if (is_operand[i]) {
        texts[i] = unique_name(locals, local_name(node));
        cache_body_ += "        " + texts[i] + " = " +
                       call(construct(Side::kCache, node), texts, node, "output=None, loc=loc, ctx=ctx") + "\n";
      }
    }
  }

  void print_indexer() {
    const std::vector<Node>& nodes = program_.indexer.nodes;
    std::vector<std::string> texts(nodes.size());
    std::set<std::string> locals = {"self", "cache", "q", "o", "ctx"};
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = nodes[i];
      if (node.op == Op::kQuery) {
        texts[i] = "q";
        continue;
      }
      if (node.op == Op::kField) {
        texts[i] = field_text(node);
        continue;
      }
      const std::string member = construct(Side::kIndexer, node);
      if (node.op == Op::kParameter) {
        texts[i] = member;
      } else if (is_terminal(node.op)) {
        indexer_body_ += "        " + call(member, texts, node, "o, ctx=ctx") + "\n";
      } else if (node.op == Op::kSave) {
        indexer_body_ += "        " + call(member, texts, node, field_text(node) + ", ctx=ctx") + "\n";
      } else {
        const std::string rest = node.op == Op::kLoad ? field_text(node) + ", ctx=ctx" : "ctx=ctx";
        texts[i] = unique_name(locals, local_name(node));
        indexer_body_ += "        " + texts[i] + " = " + call(member, texts, node, rest) + shape_comment(node) + "\n";
      }
    }
  }

  static std::string local_name(const Node& node) {
    const OpInfo& info = op_info(node.op);
    return info.result.empty() ? snake_case(info.name) + "_out" : std::string(info.result);
  }

  Program program_;
  bool has_fields_ = false;
  bool uses_torch_ = false;
  std::set<std::string> cache_imports_;
  std::set<std::string> indexer_imports_;
  std::set<std::string> members_;
  std::string constructors_;
  std::string cache_body_;
  std::string indexer_body_;
};

}  // namespace

PolicySource print_policy(const Policy& policy) {
  // Merged, so that printing what was read back gives the same text.
  const Program live = merged(policy.program);
  EngineConfig config = policy.config;
  config.module_name = live.name;
  if (config.module_path.empty()) { config.module_path = live.name + ".py"; }
  require_runtime_keys(live, config);
  PolicySource source;
  source.module_text = ModulePrinter(live).text();
  source.config_text = print_config(config);
  source.module_file = std::filesystem::path(config.module_path).filename().string();
  source.config_file = std::filesystem::path(source.module_file).replace_extension(".json").string();
  return source;
}

}  // namespace vortex::vflow
