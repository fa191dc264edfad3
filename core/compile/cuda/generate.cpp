#include "core/compile/cuda/generate.h"

#include <algorithm>

#include "base/text.h"
#include "core/compile/cpu/execute.h"
#include "core/compile/cuda/budget.h"
#include "core/compile/cuda/device/params.h"
#include "core/compile/cuda/expressions.h"
#include "core/compile/cuda/placement.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using vflow::Format;
using vflow::Graph;
using vflow::Node;
using vflow::Op;
using vflow::OpKind;
using vflow::Side;

namespace {

std::string node_comment(const Graph& graph, int index) {
  const Node& n = graph.nodes[static_cast<size_t>(index)];
  std::vector<std::string> inputs;
  for (const int input : n.inputs) { inputs.push_back("%" + number(input)); }
  const std::string name = n.op == Op::kQuery   ? "q"
                           : n.op == Op::kStore ? "Store"
                                                : std::string(vflow::op_info(n.op).name);
  return "// %" + number(index) + " = " + name + "(" + join(inputs, ", ") + ") " + shape_comment(n.shape) + "\n";
}

std::string comment_lines(const std::string& text) {
  std::string out;
  for (const std::string& line : split_lines(text)) { out += line.empty() ? "" : "//   " + line + "\n"; }
  return out;
}

// The part that both kernels of a policy share.
class KernelWriter {
 public:
  KernelWriter(const vflow::Policy& policy, Side side, const PolicyForms& forms)
      : policy_(policy),
        forms_(forms),
        graph_(side == Side::kCache ? policy.program.cache : policy.program.indexer),
        placement_(place(policy, side, forms)),
        values_(policy, side, placement_) {}

  const Placement& placement() const { return placement_; }
  const std::string& functions() const { return values_.text(); }

 protected:
  using Source = Expressions::Source;

  const Node& node(int i) const { return graph_.nodes[static_cast<size_t>(i)]; }
  const Location& inside(int i) const { return placement_.inside[static_cast<size_t>(i)]; }
  const Location& kept(int i) const { return placement_.kept[static_cast<size_t>(i)]; }
  static std::string type(vflow::Dtype dtype) { return type_name(dtype); }

  // "round_to<bf16>(...)" of a value that leaves its stage.
  std::string rounded(int index, const std::string& text) const {
    return "round_to<" + type(kept_dtype(node(index), policy_.config.dtype)) + ">(" + text + ")";
  }

  std::string write_field(const Node& n, const std::string& text) const {
    const auto& info = policy_.program.fields[static_cast<size_t>(n.attrs.field)];
    const vflow::Dtype dtype = field_dtype(policy_, n.attrs.field);
    return "store<" + type(dtype) + ">(field_of<" + number(info.shape.size() * vflow::dtype_bytes(dtype)) + ">(p, " +
           number(n.attrs.field) + "), e, " + text + ");";
  }

  std::string stage_fields(const StageLayout& layout, const std::string& team, const std::string& pages,
                           const std::string& count, const std::string& records, const std::string& indent) const {
    std::string text;
    for (const StagedField& field : layout.fields) {
      text += indent + "stage_field<" + team + ", " + number(field.bytes) + ", " + number(field.offset) +
              ">(a.fields[" + number(field.field) + "], " + pages + ", " + count + ", kv_head, a.num_kv_heads, " +
              records + ");\n";
    }
    return layout.fields.empty() ? text : text + indent + "wait_for_fields<" + team + ">();\n";
  }

  const vflow::Policy& policy_;
  PolicyForms forms_;
  const Graph& graph_;
  Placement placement_;
  Expressions values_;
};

class UpdateWriter : public KernelWriter {
 public:
  UpdateWriter(const vflow::Policy& policy, const PolicyForms& forms) : KernelWriter(policy, Side::kCache, forms) {}

  // A function of one block of one kv head, and the kernel that calls it for many.
  std::string kernel() {
    std::string text =
        "__device__ __noinline__ void complete(const Params& a, int request, int kv_head, int block) {\n"
        "  const int* page = a.pages + static_cast<long long>(request) * a.max_blocks + block;\n"
        "  const long long slot = static_cast<long long>(*page) * a.num_kv_heads + kv_head;\n"
        "  const Page p{a, nullptr, nullptr, nullptr, block, slot, shared_memory};\n";
    text += stage_fields(placement_.stages[0], "kThreads", "page", "1", "shared_memory", "  ");
    for (size_t s = 0; s < placement_.plan.stages.size(); ++s) {
      text += "\n  // stage " + number(static_cast<int64_t>(s)) + "\n";
      for (const int i : placement_.plan.stages[s].fused) { text += keep(i); }
    }
    text += "\n" + stores() + "}\n\n";
    return text +
           "extern \"C\" __global__ void __launch_bounds__(kThreads) vortex_update(const __grid_constant__ Params a) "
           "{\n"
           "  const int kv_head = static_cast<int>(blockIdx.x) % a.num_kv_heads;\n"
           "  const int index = static_cast<int>(blockIdx.x) / a.num_kv_heads % a.max_new_blocks;\n"
           "  const int request = static_cast<int>(blockIdx.x) / a.num_kv_heads / a.max_new_blocks;\n"
           "  const int block = block_to_update(a, request, index);\n"
           "  if (block >= 0) complete(a, request, kv_head, block);\n"
           "}\n";
  }

  // Does a store change what another one still reads from device memory?
  bool has_hazard() const {
    for (const Node& n : graph_.nodes) {
      const bool staged = std::any_of(placement_.stages[0].fields.begin(), placement_.stages[0].fields.end(),
                                      [&](const StagedField& field) { return field.field == n.attrs.field; });
      const bool stored = std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const Node& root) {
        return writes_field(root.op) && root.attrs.field == n.attrs.field;
      });
      if (n.op == Op::kField && stored && !staged) { return true; }
    }
    return false;
  }

 private:
  std::string keep(int i) {
    if (inside(i).home != Home::kRecord) { return ""; }
    return "  " + node_comment(graph_, i) + "  for_elements_of_block<" + number(node(i).shape.size()) +
           ">([&](int e) { (" + values_.address(inside(i), node(i).shape) +
           ")[e] = " + values_.make(i).at_element("p", "e") + "; });\n  __syncthreads();\n";
  }

  std::string stores() {
    std::string text;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& n = node(static_cast<int>(i));
      if (!writes_field(n.op)) { continue; }
      const auto& info = policy_.program.fields[static_cast<size_t>(n.attrs.field)];
      const std::string value = n.op == Op::kFill ? float_literal(static_cast<float>(n.attrs.alpha))
                                                  : values_.read(static_cast<int>(i), 0).at_element("p", "e");
      text += "  // \"" + info.name + "\"\n  for_elements_of_block<" + number(info.shape.size()) + ">([&](int e) { " +
              write_field(n, value) + " });\n";
    }
    return text;
  }
};

class SelectWriter : public KernelWriter {
 public:
  SelectWriter(const vflow::Policy& policy, const PolicyForms& forms) : KernelWriter(policy, Side::kIndexer, forms) {
    int64_t used = 0;
    for (const vflow::Constant& constant : policy.program.constants) {
      constant_at_.push_back(used);
      used += static_cast<int64_t>(constant.data.size());
    }
  }

  std::string kernel() {
    const auto& geometry = policy_.program.geometry;
    std::string text =
        "extern \"C\" __global__ void __launch_bounds__(kThreads, 4) vortex_select(const __grid_constant__ Params a) "
        "{\n" +
        std::string(policy_.program.cache.nodes.empty()
                        ? ""
                        : "  if (a.completes_blocks != 0) {\n"
                          "    complete_newest(a, [&](int request, int kv_head, int block) {\n"
                          "      cache::complete(a, request, kv_head, block);\n"
                          "    });\n"
                          "  }\n") +
        "  Row row;\n"
        "  if (!open_row(a, row, budget)) return;\n"
        "  const int kv_head = row.kv_head;\n"
        "  const unsigned short* q = a.q + static_cast<long long>(row.index) * " +
        number(static_cast<int64_t>(geometry.group) * geometry.head_dim) +
        ";\n"
        "  float* once = reinterpret_cast<float*>(shared_memory);\n"
        "  unsigned char* teams = shared_memory + " +
        number(placement_.once_floats * 4) +
        ";\n"
        "  float* work = a.workspace + row.index * a.row_floats;\n"
        "  const auto page_at = [&](int block, int page, unsigned char* record) {\n"
        "    return Page{a, q, once, work, block, static_cast<long long>(page) * a.num_kv_heads + kv_head, record};\n"
        "  };\n"
        "  const auto at = [&](int block) { return page_at(block, row.pages[block], nullptr); };\n";
    for (size_t s = 0; s < placement_.plan.stages.size(); ++s) { text += stage(s); }
    return text + choice() + saves() + "}\n";
  }

  std::vector<int> own_ks() const {
    std::vector<int> ks;
    for (const int chooser : choosers()) {
      ks.push_back(node(chooser).op == Op::kTopKTable ? node(chooser).attrs.k : 0);
    }
    return ks;
  }
  // In units of max_blocks, where the first list's scores have a place in the row's workspace.
  std::optional<int64_t> scores_offset() const {
    const int scores = node(choosers().front()).inputs[0];
    const bool kept_in_memory = !is_leaf(node(scores).op) && kept(scores).home == Home::kWork;
    return kept_in_memory ? std::optional(kept(scores).offset) : std::nullopt;
  }
  // Marks of Union need a bit a block beside the keys.
  double key_bytes() const { return choosers().size() > 1 ? 4.25 : 4; }
  bool saves_fields() const {
    return std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [](const Node& n) { return writes_field(n.op); });
  }

 private:
  std::string stage(size_t s) {
    const Stage& stage = placement_.plan.stages[s];
    std::string text = "\n  // stage " + number(static_cast<int64_t>(s)) + "\n";
    if (s == 0) {
      for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        if (node(static_cast<int>(i)).op == Op::kQuery && inside(static_cast<int>(i)).home == Home::kOnce) {
          text += once(static_cast<int>(i));
        }
      }
    }
    std::string tiles;
    for (const int i : stage.fused) {
      if (node(i).format == Format::kBatched && !writes_field(node(i).op)) {
        text += once(i);
      } else {
        tiles += in_tile(i);
      }
    }
    tiles += early_saves(stage);
    if (!tiles.empty()) {
      text += "  for_tiles(row, teams, [&](int first, int count, unsigned char* records, const int* pages) {\n";
      text += stage_fields(placement_.stages[s], "kTeam", "pages", "count", "records", "    ");
      text +=
          "    const auto page = [&](int i) { return page_at(first + i, pages[i], records + i * kRecordBytes); };\n" +
          tiles + "  });\n";
    }
    text += "  row_barrier();\n";
    std::string rows;
    for (const int i : stage.over_rows) { rows += over_pages(i); }
    return rows.empty() ? text : text + "  if (cluster_rank() == 0) {\n" + rows + "  }\n  row_barrier();\n";
  }

  // Values that are the same for all pages; every block of the cluster has its own copy.
  std::string once(int i) {
    std::string text;
    const auto fill = [&](const Location& location, const std::string& value) {
      text += "  " + node_comment(graph_, i) + "  for_elements_of_block<" + number(node(i).shape.size()) +
              ">([&](int e) { once[" + number(location.offset) + " + e] = " + value + "; });\n  __syncthreads();\n";
    };
    if (inside(i).home == Home::kOnce) {
      const Source make = values_.make(i);
      fill(inside(i), make.at_element("row_page", "e"));
    }
    if (kept(i).home == Home::kOnce) { fill(kept(i), rounded(i, values_.inside(i).at_element("row_page", "e"))); }
    return text.empty() ? text : "  {\n  const Page row_page{a, q, once, work, 0, 0, nullptr};\n" + text + "  }\n";
  }

  std::string in_tile(int i) {
    const Node& n = node(i);
    std::string text;
    const auto fill = [&](const std::string& to, const Source& from, const std::string& value, bool barrier) {
      text += "    " + node_comment(graph_, i) + "    for_elements_of_tile<" + number(from.shape.size()) +
              ">(count, [&](int i, int e) {\n      const Page p = page(i);\n      (" + to + ")[e] = " + value +
              ";\n    });\n" + (barrier ? "    team_barrier<kTeam>();\n" : "");
    };
    if (placement_.early[static_cast<size_t>(i)]) { return text; }
    if (writes_field(n.op)) {
      const Location& copy = placement_.saved[static_cast<size_t>(i)];
      if (copy.home == Home::kWork) {
        const Source x = values_.read(i, 0);
        fill(values_.address(copy, x.shape), x, x.at_element("p", "e"), false);
      }
      return text;
    }
    if (inside(i).home == Home::kRecord) {
      const Source x = values_.make(i);
      fill(values_.address(inside(i), n.shape), x, x.at_element("p", "e"), true);
    }
    if (kept(i).narrow) {
      return text + "    " + node_comment(graph_, i) +
             store_lanes_of_tile(values_.address(kept(i), n.shape), values_.inside(i));
    }
    if (kept(i).home == Home::kWork) {
      const Source x = values_.inside(i);
      fill(values_.address(kept(i), n.shape), x, rounded(i, x.at_element("p", "e")), false);
    }
    return text;
  }

  // Sixteen elements at a time, rounded to bfloat16.
  std::string store_lanes_of_tile(const std::string& to, const Source& x) {
    return "    for_elements_of_tile<" + number(x.shape.size() / 16) +
           ">(count, [&](int i, int part) {\n      const Page p = page(i);\n      const int e = 16 * part;\n"
           "      store_lanes(" +
           to + ", e, " + lanes_at(x) + ");\n    });\n";
  }
  // Elements e ... e + 15 of a value of `p`.
  std::string lanes_at(const Source& x) {
    const std::string cols = number(x.shape.cols);
    const bool one = x.shape.rows == 1;
    return values_.lanes(x, one ? "0" : "e / " + cols, one ? "e" : "e % " + cols);
  }

  // What is saved while the pages are at hand: behind everything of the stage that reads the old values.
  std::string early_saves(const Stage& stage) {
    std::string text;
    for (const int i : stage.fused) {
      if (!placement_.early[static_cast<size_t>(i)]) { continue; }
      const Node& n = node(i);
      const Source x = values_.read(i, 0);
      text += text.empty() ? "    team_barrier<kTeam>();\n" : "";
      text += "    " + node_comment(graph_, i);
      if (field_dtype(policy_, n.attrs.field) == vflow::Dtype::kBf16 && x.shape.cols % 16 == 0) {
        text +=
            store_lanes_of_tile("field_of<" + number(x.shape.size() * 2) + ">(p, " + number(n.attrs.field) + ")", x);
      } else {
        text += "    for_elements_of_tile<" + number(x.shape.size()) +
                ">(count, [&](int i, int e) {\n      const Page p = page(i);\n      " +
                write_field(n, x.at_element("p", "e")) + "\n    });\n";
      }
    }
    return text;
  }

  std::string over_pages(int i) {
    const Node& n = node(i);
    if (chooses_pages(n.op) || n.op == Op::kReshape) { return ""; }
    const std::string comment = "    " + node_comment(graph_, i);
    const Source x = values_.read(i, 0);
    const std::string read =
        "[&](int block, int e) { const Page p = at(block); return " + x.at_element("p", "e") + "; }";
    const std::string size = number(x.shape.size());
    const vflow::OpInfo& info = vflow::op_info(n.op);
    if (info.kind == OpKind::kProduct) { return comment + parameter_product(i, x); }
    if (info.kind == OpKind::kReduction) {
      const std::string to = ", [&](int e, float x) { const Page p = at(0); (" + values_.address(kept(i), n.shape) +
                             ")[e] = " + rounded(i, "x") + "; });\n";
      if (forms_.pages && x.shape.cols % 16 == 0) {
        return comment + "    reduce_pages_of_lanes<" + std::string(info.cuda) + ", " + size +
               ">(row.middle, row.computed, [&](int block, int e) { const Page p = at(block); return " + lanes_at(x) +
               "; }" + to;
      }
      return comment + "    reduce_pages<" + std::string(info.cuda) + ", " + size + ">(row.middle, row.computed, " +
             read + to;
    }
    const int64_t elements = x.shape.size();
    if (forms_.pages && n.op == Op::kSoftmax && elements <= 16 && (elements & (elements - 1)) == 0) {
      return comment + "    softmax_pages_by_all<" + size + ">(" + float_literal(static_cast<float>(n.attrs.scale)) +
             ", first_changed(row), row.computed, " + read +
             ", [&](int block, int e) -> float& { const Page p = at(block); return (" +
             values_.address(kept(i), n.shape) + ")[e]; });\n";
    }
    const std::string place = values_.address(kept(i), n.shape);
    if (kept(i).narrow && n.op == Op::kConv1d) {
      return comment + "    " + page_transform(n, size, "_of_lanes") + "first_changed(row), row.computed, " +
             "[&](int block, int e) { const Page p = at(block); return " + lanes_at(x) +
             "; }, [&](int block, int e, const Lanes& x) { const Page p = at(block); store_lanes(" + place +
             ", e, x); });\n";
    }
    const std::string write = "[&](int block, int e, float x) { const Page p = at(block); " +
                              (kept(i).narrow ? "store<bf16>(" + place + ", e, x); }" : "(" + place + ")[e] = x; }");
    return comment + "    " + page_transform(n, size, "") + "first_changed(row), row.computed, " + read + ", " + write +
           ");\n";
  }

  // The call of an operation over pages, up to the arguments that all of them have: "softmax_pages<1>(0.09F, ",
  // "conv_pages<3, 1>(a.constants + 0, ".
  std::string page_transform(const Node& n, const std::string& size, const std::string& form) const {
    const vflow::OpInfo& info = vflow::op_info(n.op);
    const std::string name = std::string(info.cuda) + form;
    if (takes(info, vflow::Arg::kWeight)) {
      const auto constant = static_cast<size_t>(n.attrs.constant);
      return name + "<" + number(policy_.program.constants[constant].dims[0]) + ", " + size + ">(a.constants + " +
             number(constant_at_[constant]) + ", ";
    }
    const bool scaled = takes(info, vflow::Arg::kScale);
    return name + "<" + size + ">(" + (scaled ? float_literal(static_cast<float>(n.attrs.scale)) + ", " : "");
  }

  // x in bfloat16 times this layer's matrix.
  std::string parameter_product(int i, const Source& x) {
    const Node& n = node(i);
    const auto index = static_cast<size_t>(node(n.inputs[1]).attrs.constant);
    const vflow::Constant& constant = policy_.program.constants[index];
    const std::string count = number(x.shape.cols);
    std::string text = "    const auto layer" + number(i) + " = [&] {\n";
    std::string layer = "a.layer";
    if (!constant.layer_lookup.empty()) {
      std::vector<std::string> lookup;
      for (const int l : constant.layer_lookup) { lookup.push_back(number(l)); }
      text += "      constexpr int kLookup[] = {" + join(lookup, ", ") + "};\n";
      layer = "kLookup[min(max(a.layer, 0), " + number(static_cast<int64_t>(lookup.size()) - 1) + ")]";
    }
    text += "      return min(max(" + layer + ", 0), " + number(constant.dims[0] - 1) + ");\n    }();\n";
    text += "    const float* weight" + number(i) + " = a.constants + " + number(constant_at_[index]) +
            " + static_cast<long long>(layer" + number(i) + ") * " +
            number(static_cast<int64_t>(constant.dims[1]) * constant.dims[2]) + ";\n";
    const std::string cols = number(n.shape.cols);
    const std::string left = x.at("p", x.shape.rows == 1 ? "0" : "e % " + cols, "$");
    const std::string right = "weight" + number(i) + "[e / " + cols + " * " + count + " + $]";
    const auto put = [](std::string at, const std::string& k) { return at.replace(at.find('$'), 1, k); };
    std::string dot;
    if (x.shape.cols < 16) {
      dot = "dot_in_order<" + count + ">([&](int k) { return round_bf16(" + put(left, "k") +
            "); }, [&](int k) { return " + put(right, "k") + "; })";
    } else {
      const auto lanes = [&](const std::string& element) {
        return "[&](int k) { return gather(" + count + " - k, [&](int j) { return " + element + "; }); }";
      };
      dot = "dot_lanes<" + count + ">(" + lanes("round_bf16(" + put(left, "k + j") + ")") + ", " +
            lanes(put(right, "k + j")) + ")";
    }
    return text + "    for_elements_of_block<" + number(n.shape.size()) +
           ">([&](int e) {\n      const Page p = at(0);\n      (" + values_.address(kept(i), n.shape) +
           ")[e] = " + rounded(i, dot) + ";\n    });\n";
  }

  std::vector<int> choosers() const {
    std::vector<int> result;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Op op = node(static_cast<int>(i)).op;
      if (placement_.plan.live[i] && (op == Op::kTopK || op == Op::kApproxTopK || op == Op::kTopKTable)) {
        result.push_back(static_cast<int>(i));
      }
    }
    return result;
  }

  // Keys of bfloat16 scores have 16 bits.
  int key_bits(int chooser) const {
    const Node& from = node(node(chooser).inputs[0]);
    const vflow::Dtype dtype = from.op == Op::kField || from.op == Op::kLoad ? field_dtype(policy_, from.attrs.field)
                                                                             : kept_dtype(from, policy_.config.dtype);
    return dtype == vflow::Dtype::kBf16 ? 16 : 32;
  }

  std::string choose(int chooser, const std::string& emit) {
    const Node& n = node(chooser);
    const bool own_k = n.op == Op::kTopKTable;
    const std::string reserved =
        own_k ? "min(kReservedBos, row.blocks), min(kReservedEos, row.blocks - min(kReservedBos, row.blocks)), " +
                    number(n.attrs.k)
              : "row.budget.bos, row.budget.eos, row.budget.middle";
    const double tolerance = n.op == Op::kApproxTopK ? n.attrs.tolerance : 0;
    return "choose_blocks<" + number(key_bits(chooser)) + ">(row, " + reserved + ", " + format_number(tolerance) +
           ", keys,\n        [&](int block) { const Page p = at(block); return " +
           values_.read(chooser, 0).at("p", "0", "0") + "; }, [&](int rank, int block) { " + emit + "; });\n";
  }

  std::string choice() {
    const std::vector<int> all = choosers();
    std::string text =
        "\n  // the choice\n  if (cluster_rank() == 0) {\n    auto* keys = reinterpret_cast<unsigned*>(teams);\n";
    if (all.size() == 1) {
      text += "    int* out = a.blocks + static_cast<long long>(row.index) * a.max_selected;\n    const int count = " +
              choose(all[0], "out[rank] = block") + "    if (threadIdx.x == 0) a.counts[row.index] = count;\n";
    } else {
      text += "    unsigned* marks = keys + row.blocks;\n    clear_marks(row, marks);\n";
      for (const int chooser : all) { text += "    " + choose(chooser, "mark(marks, block)"); }
      text += "    write_marked(a, row, marks);\n";
    }
    return text + "  }\n";
  }

  std::string saves() {
    std::string text;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& n = node(static_cast<int>(i));
      if (!writes_field(n.op) || placement_.early[i]) { continue; }
      const vflow::Shape shape = node(n.inputs[0]).shape;
      const Location& copy = placement_.saved[i];
      const Location& from = copy.home == Home::kWork ? copy : kept(n.inputs[0]);
      const std::string place = values_.address(from, shape);
      const std::string value = from.narrow ? "load<bf16>(" + place + ", e)" : "(" + place + ")[e]";
      text += "    " + node_comment(graph_, static_cast<int>(i)) + "    for_elements_of_tile<" + number(shape.size()) +
              ">(count, [&](int i, int e) {\n      const Page p = page(i);\n      " + write_field(n, value) +
              "\n    });\n";
    }
    if (text.empty()) { return text; }
    return "\n  // what the step leaves behind, once nobody reads the old values\n  row_barrier();\n"
           "  for_tiles(row, teams, [&](int first, int count, unsigned char* records, const int* pages) {\n"
           "    const auto page = [&](int i) { return page_at(first + i, pages[i], records); };\n" +
           text + "  });\n";
  }

  std::vector<int64_t> constant_at_;
};

Status check_types(const vflow::Policy& policy) {
  for (const vflow::Dtype dtype : {policy.config.dtype, policy.config.kv_dtype}) {
    if (dtype == vflow::Dtype::kFp16) { return candidate_error("the CUDA backend has no float16", "use bfloat16"); }
  }
  if (policy.program.fields.size() > device::kMaxFields) {
    return candidate_error("more than " + number(device::kMaxFields) + " fields", "join some of them");
  }
  const std::vector<Node>& nodes = policy.program.indexer.nodes;
  if (std::none_of(nodes.begin(), nodes.end(), [](const Node& n) { return chooses_pages(n.op); })) {
    return candidate_error("forward_indexer chooses no pages", "end it with topK, approxTopK or Union");
  }
  return ok_status();
}

std::string head(const vflow::Policy& policy, const Placement& indexer) {
  const auto& g = policy.program.geometry;
  const vflow::EngineConfig& config = policy.config;
  const auto constant = [](const std::string& name, int64_t value) {
    return "constexpr int " + name + " = " + number(value) + ";\n";
  };
  const int team_bytes = (indexer.tile_pages * (indexer.record_bytes + 4) + 15) / 16 * 16;
  return "// Policy \"" + policy.program.name + "\": group " + number(g.group) + ", head_dim " + number(g.head_dim) +
         ", " + number(g.block_size) + " tokens a block; " + type_name(config.dtype) + " fields, " +
         type_name(config.kv_dtype) + " k and v.\n//\n// forward_cache\n" +
         comment_lines(describe_stages(policy.program.cache, plan_stages(policy.program.cache), config.dtype)) +
         "// forward_indexer\n" + comment_lines(describe_stages(policy.program.indexer, indexer.plan, config.dtype)) +
         "\nnamespace vortex::compile::device {\n" + constant("kThreads", kPolicyThreads) +
         constant("kTeam", indexer.team) + constant("kTilePages", indexer.tile_pages) +
         constant("kRecordBytes", indexer.record_bytes) + constant("kTeamBytes", team_bytes) +
         constant("kBlock", g.block_size) + constant("kReservedBos", config.reserved_bos) +
         constant("kReservedEos", config.reserved_eos) +
         "}  // namespace vortex::compile::device\n\n#include \"core/compile/cuda/device/budget.cuh\"\n"
         "#include \"core/compile/cuda/device/row.cuh\"\n\nnamespace vortex::compile::device {\n\n" +
         emit_budget(config);
}

}  // namespace

Result<GeneratedPolicy> generate_cuda(const vflow::Policy& policy) {
  VORTEX_TRY(check_types(policy));
  GeneratedPolicy out;
  const PolicyForms forms = wanted_forms();
  SelectWriter select(policy, forms);
  const Placement& indexer = select.placement();
  out.source = (forms.special ? "#define VORTEX_SPECIAL_FORMS\n" : "") + head(policy, indexer);
  if (!policy.program.cache.nodes.empty()) {
    UpdateWriter update(policy, forms);
    if (update.has_hazard()) {
      return internal_error("forward_cache stores a field that is too large to be read beforehand");
    }
    const std::string update_kernel = update.kernel();
    out.source += "\nnamespace cache {\n" + update.functions() + "\n" + update_kernel + "\n}  // namespace cache\n";
    out.updates = true;
    out.update_bytes = update.placement().record_bytes;
  }
  const std::string select_kernel = select.kernel();
  out.source += "\nnamespace indexer {\n" + select.functions() + "\n" + select_kernel + "\n}  // namespace indexer\n";
  out.source += "\n}  // namespace vortex::compile::device\n";
  out.saves = select.saves_fields();
  out.key_bytes = select.key_bytes();
  out.own_ks = select.own_ks();
  out.once_bytes = static_cast<int>(indexer.once_floats * 4);
  const int teams = kPolicyThreads / indexer.team;
  out.teams_bytes = teams * ((indexer.tile_pages * (indexer.record_bytes + 4) + 15) / 16 * 16);
  out.work_floats = indexer.work_floats;
  out.row_floats = indexer.work_once_floats;
  out.scores_offset = select.scores_offset();
  out.pages_at_a_time = teams * indexer.tile_pages;
  for (const PreparedConstant& constant : prepare_constants(policy.program)) {
    out.constants.insert(out.constants.end(), constant.data.begin(), constant.data.end());
  }
  return out;
}

}  // namespace vortex::compile
