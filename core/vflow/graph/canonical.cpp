#include "core/vflow/graph/canonical.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/rng.h"
#include "base/sha256.h"
#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"

namespace vortex::vflow {
namespace {

uint64_t hash_text(std::string_view text) {
  uint64_t hash = mix64(text.size());
  for (char c : text) { hash = mix64(hash ^ static_cast<unsigned char>(c)); }
  return hash;
}

// -0 and 0 behave alike wherever an attribute is used.
std::string number(double value) { return format_number(value == 0 ? 0 : value); }

std::string constant_text(const Constant& constant) {
  std::string text = "[";
  for (int dim : constant.dims) { text += std::to_string(dim) + ","; }
  text += "]";
  for (float value : constant.data) { text += " " + number(static_cast<double>(value)); }
  if (!constant.layer_lookup.empty()) { text += " lookup"; }
  for (int layer : constant.layer_lookup) { text += " " + std::to_string(layer); }
  constexpr size_t kLongest = 200;
  return text.size() <= kLongest ? text : sha256_hex(text);
}

// Whether an argument of an operation takes part in what it computes.
bool argument_matters(const OpInfo& info, Arg arg) {
  if (arg == Arg::kAlpha || arg == Arg::kBeta) { return info.uses_alpha_beta; }
  return arg != Arg::kDim || info.reach != Reach::kRow;  // over pages there is only dim 0
}

class Canonicalizer {
 public:
  explicit Canonicalizer(const Program& program) : program_(program), live_(find_live(program, false)) {
    // Once: a constant may hold a million numbers, and labels are asked for in every round.
    for (const Constant& constant : program.constants) { constants_.push_back(constant_text(constant)); }
    for (const Side side : {Side::kCache, Side::kIndexer}) {
      for (const Node& node : graph_of(side).nodes) {
        std::string text = has_own_label(node) ? label_of(side, node) : std::string();
        const uint64_t hash = hash_text(text);
        labels_of(side).push_back({std::move(text), hash});
      }
    }
    field_hash_.resize(program.fields.size());
    for (size_t i = 0; i < program.fields.size(); ++i) {
      field_hash_[i] = hash_text(program.fields[i].builtin ? program.fields[i].name : "field");
    }
    // Each round refines the partition of the fields or leaves it as it is, so as many rounds as fields settle it.
    for (size_t round = 0; round <= program.fields.size(); ++round) { refine(); }
  }

  CanonicalTree run() {
    if (live_.terminal < 0) {
      add("empty", "empty", -1);
    } else {
      expand(Side::kIndexer, live_.terminal, -1);
    }
    return std::move(tree_);
  }

 private:
  struct Operand {
    int node = -1;
    double coefficient = 0;
  };

  struct Label {
    std::string text;
    uint64_t hash = 0;
  };

  const Graph& graph_of(Side side) const { return side == Side::kCache ? program_.cache : program_.indexer; }
  const Node& node_at(Side side, int index) const { return graph_of(side).nodes[static_cast<size_t>(index)]; }
  std::vector<Label>& labels_of(Side side) { return side == Side::kCache ? cache_labels_ : indexer_labels_; }
  const Label& label_at(Side side, int index) const {
    return (side == Side::kCache ? cache_labels_ : indexer_labels_)[static_cast<size_t>(index)];
  }
  uint64_t hash_at(Side side, int index) const {
    return (side == Side::kCache ? cache_hash_ : indexer_hash_)[static_cast<size_t>(index)];
  }

  // Operands in canonical order with Add's factors. MaskSlice has none: only its operand's shape matters.
  std::vector<Operand> operands(Side side, const Node& node) const {
    std::vector<Operand> result;
    if (node.op == Op::kMaskSlice) { return result; }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      result.push_back({node.inputs[i], i == 0 ? node.attrs.alpha : node.attrs.beta});
    }
    if (!op_info(node.op).commutative) { return result; }
    const auto key = [&](const Operand& operand) {
      return std::tuple(node_at(side, operand.node).op, hash_at(side, operand.node),
                        node.op == Op::kAdd ? operand.coefficient : 0);
    };
    std::stable_sort(result.begin(), result.end(), [&](const Operand& a, const Operand& b) { return key(a) < key(b); });
    return result;
  }

  // The same in every round. Add's factors follow its operands, whose order may change; a field has no label.
  static bool has_own_label(const Node& node) { return node.op != Op::kAdd && node.op != Op::kField; }

  std::string label(Side side, int index) const {
    const Node& node = node_at(side, index);
    return has_own_label(node) ? label_at(side, index).text : label_of(side, node);
  }

  // Operation with every attribute that matters, operands aside.
  std::string label_of(Side side, const Node& node) const {
    const OpInfo& info = op_info(node.op);
    std::string text = kind(node);
    Attrs attrs = node.attrs;
    if (node.op == Op::kAdd) {
      const std::vector<Operand> ordered = operands(side, node);
      attrs.alpha = ordered[0].coefficient;
      attrs.beta = ordered[1].coefficient;
    }
    for (const ArgInfo& arg : info.args) {
      if (!argument_matters(info, arg.arg)) { continue; }
      switch (arg.arg) {
        case Arg::kKronAxes:
          text += " dim=" + std::to_string(attrs.kron_axes);
          break;
        case Arg::kRows:
          text += " " + shape_text(node.shape);
          break;
        case Arg::kWeight:
        case Arg::kValue:
          text += " " + constants_[static_cast<size_t>(attrs.constant)];
          break;
        case Arg::kCols:
        case Arg::kLeading:
        case Arg::kLayerLookup:
        case Arg::kDtype:
        case Arg::kDevice:
          break;
        case Arg::kDim:
        case Arg::kAlpha:
        case Arg::kBeta:
        case Arg::kScale:
        case Arg::kTolerance:
        case Arg::kInterleave:
        case Arg::kCount:
        case Arg::kStart:
        case Arg::kEnd:
          text += " " + std::string(arg.name) + "=" + number(get_arg(attrs, arg.arg));
      }
    }
    if (node.op == Op::kMaskSlice || node.op == Op::kFill) { text += " " + shape_text(node.shape); }
    return text;
  }

  static std::string kind(const Node& node) {
    if (node.op == Op::kQuery) { return "q"; }
    return std::string(op_info(node.op).name);
  }

  uint64_t structural_hash(Side side, int index) const {
    const Node& node = node_at(side, index);
    if (node.op == Op::kField) { return field_hash_[static_cast<size_t>(node.attrs.field)]; }
    uint64_t hash = has_own_label(node) ? label_at(side, index).hash : hash_text(label_of(side, node));
    if (node.op == Op::kLoad) { return mix64(hash ^ field_hash_[static_cast<size_t>(node.attrs.field)]); }
    for (const Operand& operand : operands(side, node)) { hash = mix64(hash ^ hash_at(side, operand.node)); }
    return hash;
  }

  void refine() {
    for (Side side : {Side::kCache, Side::kIndexer}) {
      std::vector<uint64_t>& hashes = side == Side::kCache ? cache_hash_ : indexer_hash_;
      hashes.clear();
      const int nodes = static_cast<int>(graph_of(side).nodes.size());
      for (int i = 0; i < nodes; ++i) { hashes.push_back(structural_hash(side, i)); }
    }
    for (size_t i = 0; i < program_.fields.size(); ++i) {
      if (program_.fields[i].builtin) { continue; }
      const uint64_t writer = live_.writer[i] < 0 ? 0 : hash_at(Side::kCache, live_.writer[i]);
      const uint64_t save = live_.save[i] < 0 ? 0 : hash_at(Side::kIndexer, live_.save[i]);
      field_hash_[i] = stream_key(hash_text("field"), writer, save);
    }
  }

  int add(std::string label_text, std::string kind_text, int parent) {
    const int index = static_cast<int>(tree_.nodes.size());
    tree_.nodes.push_back({std::move(label_text), std::move(kind_text)});
    last_child_.push_back(-1);
    if (parent >= 0) {
      const int before = std::exchange(last_child_[static_cast<size_t>(parent)], index);
      (before < 0 ? tree_.nodes[static_cast<size_t>(parent)].first_child
                  : tree_.nodes[static_cast<size_t>(before)].next_sibling) = index;
    }
    return index;
  }

  void expand(Side side, int index, int parent) {
    const Node& node = node_at(side, index);
    if (node.op == Op::kField) { return expand_field(node.attrs.field, parent); }
    if (node.op == Op::kStore) { return expand(side, node.inputs[0], parent); }
    if (!node.inputs.empty()) {
      const auto [seen, first] = shared_.try_emplace({side, hash_at(side, index)}, shared_.size());
      if (!first) {
        add("Same #" + std::to_string(seen->second), "Same", parent);
        return;
      }
    }
    const int self = add(label(side, index), kind(node), parent);
    if (node.op == Op::kLoad) { expand_field(node.attrs.field, self); }
    for (const Operand& operand : operands(side, node)) { expand(side, operand.node, self); }
  }

  void expand_field(int field, int parent) {
    const size_t f = static_cast<size_t>(field);
    if (program_.fields[f].builtin) {
      add(program_.fields[f].name, program_.fields[f].name, parent);
      return;
    }
    const auto [seen, first] = seen_fields_.try_emplace(field_hash_[f], seen_fields_.size());
    if (!first) {
      add("Field #" + std::to_string(seen->second), "Field", parent);
      return;
    }
    const int self = add("Field", "Field", parent);
    if (live_.writer[f] >= 0) { expand(Side::kCache, live_.writer[f], self); }
    if (live_.save[f] >= 0) { expand(Side::kIndexer, live_.save[f], self); }
  }

  const Program& program_;
  const Liveness live_;
  std::vector<std::string> constants_;  // as labels have them
  std::vector<Label> cache_labels_;     // by node
  std::vector<Label> indexer_labels_;
  std::vector<uint64_t> field_hash_;
  std::vector<uint64_t> cache_hash_;
  std::vector<uint64_t> indexer_hash_;
  std::map<uint64_t, size_t> seen_fields_;              // by hash: equal fields are one field
  std::map<std::pair<Side, uint64_t>, size_t> shared_;  // by hash: equal values are one value
  CanonicalTree tree_;
  std::vector<int> last_child_;
};

void append_text(const CanonicalTree& tree, int index, std::string& text) {
  const CanonicalTree::TreeNode& node = tree.nodes[static_cast<size_t>(index)];
  if (node.first_child < 0) {
    text += node.label.find(' ') == std::string::npos ? node.label : "(" + node.label + ")";
    return;
  }
  text += "(" + node.label;
  for (int child = node.first_child; child >= 0; child = tree.nodes[static_cast<size_t>(child)].next_sibling) {
    text += " ";
    append_text(tree, child, text);
  }
  text += ")";
}

}  // namespace

CanonicalTree canonical_tree(const Program& program) { return Canonicalizer(program).run(); }

std::string canonical_text(const CanonicalTree& tree) {
  std::string text;
  append_text(tree, 0, text);
  return text;
}

std::string canonical_text(const Program& program) { return canonical_text(canonical_tree(program)); }

std::string program_hash(const Program& program) { return sha256_hex(canonical_text(program)); }

std::string policy_key(const Policy& policy) {
  return policy_key(canonical_text(policy.program), policy.program.dialect, policy.config);
}

std::string policy_key(std::string text, Dialect dialect, const EngineConfig& config) {
  text += "\nmla " + std::to_string(dialect == Dialect::kMla);
  text += "\nblock " + std::to_string(config.block_size);
  text += "\ntopk " + std::to_string(config.topk_val);
  text += "\nratio " + number(static_cast<double>(static_cast<float>(config.topk_ratio)));
  text += "\nbos " + std::to_string(config.reserved_bos);
  text += "\neos " + std::to_string(config.reserved_eos);
  text += "\nskip";
  for (int layer : std::set<int>(config.layers_skip.begin(), config.layers_skip.end())) {
    text += " " + std::to_string(layer);
  }
  text += "\ndtype " + std::string(dtype_name(config.dtype)) + " " + std::string(dtype_name(config.kv_dtype));
  text += "\nschedule " + config.schedule.canonical();
  return sha256_hex(text);
}

}  // namespace vortex::vflow
