#include "core/compile/cuda/placement.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using vflow::Format;
using vflow::Graph;
using vflow::Node;
using vflow::Op;
using vflow::OpKind;
using vflow::Side;

namespace {

constexpr int64_t kSmallValue = 64;           // elements; cheap to keep in a record
constexpr int kLongLoop = 8;                  // elements; a shorter reduction is not worth keeping
constexpr int kLongExpression = 32;           // operations
constexpr double kReadsByPages = 64;          // of a value that is the same for all pages
constexpr int64_t kMaxQuery = 4096;           // elements; larger ones are read from device memory
constexpr int64_t kMaxOnce = 12 * 1024;       // floats of shared memory
constexpr int kMaxStagedField = 2048;         // bytes a page, indexer side
constexpr int kMaxStaged = 4096;              // bytes a page, all fields of a stage
constexpr int kMaxStagedOfBlock = 96 * 1024;  // where a whole thread block has one page
constexpr int kTeamBytes = 9 * 1024;
constexpr int kMaxWarpRecord = 12 * 1024;
constexpr int kMaxRecord = 160 * 1024;
constexpr int kThreads = 128;

int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// Changes only where elements are, or ignores them: never worth keeping.
bool is_view(Op op) { return vflow::op_info(op).kind == OpKind::kLayout || op == Op::kLoad; }

class Placing {
 public:
  Placing(const vflow::Policy& policy, Side side, const PolicyForms& forms)
      : policy_(policy),
        side_(side),
        forms_(forms),
        graph_(side == Side::kCache ? policy.program.cache : policy.program.indexer) {
    out_.plan = plan_stages(graph_);
    const size_t count = graph_.nodes.size();
    out_.inside.resize(count);
    out_.kept.resize(count);
    out_.saved.resize(count);
    out_.early.assign(count, false);
    out_.keeps = out_.plan.kept;
    reads_.assign(count, 0);
    consumers_.assign(count, 0);
    looped_.assign(count, false);
    length_.assign(count, 1);
  }

  Placement run() {
    mark_saved();
    measure_expressions();
    for (int i = size() - 1; i >= 0; --i) {
      if (live(i)) {
        decide(i);
        pass_reads_on(i);
      }
    }
    allocate_once();
    allocate_work();
    allocate_records();
    return std::move(out_);
  }

 private:
  int size() const { return static_cast<int>(graph_.nodes.size()); }
  const Node& node(int i) const { return graph_.nodes[static_cast<size_t>(i)]; }
  bool live(int i) const { return out_.plan.live[static_cast<size_t>(i)]; }
  bool over_pages(int i) const { return runs_over_pages(out_, i); }
  Location& inside(int i) { return out_.inside[static_cast<size_t>(i)]; }
  Location& kept(int i) { return out_.kept[static_cast<size_t>(i)]; }

  // A saved value is rounded to the field's type, which is the policy's: as well keep it.
  void mark_saved() {
    for (int i = 0; i < size(); ++i) {
      const Node& n = node(i);
      out_.early[static_cast<size_t>(i)] = forms_.saves && n.op == Op::kSave && live(i) && may_save_early(i);
      if (n.op == Op::kSave && !out_.early[static_cast<size_t>(i)] && !is_leaf(node(n.inputs[0]).op) &&
          !is_view(node(n.inputs[0]).op)) {
        out_.keeps[static_cast<size_t>(n.inputs[0])] = true;
      }
    }
  }

  // Does nobody read the field's old value after the pages of this Save's stage? What reads it in the stage itself does
  // so from the copy in the page's record.
  bool may_save_early(int save) const {
    const int field = node(save).attrs.field;
    const int stage = out_.plan.stage_of[static_cast<size_t>(save)];
    bool read_here = false;
    for (int i = 0; i < size(); ++i) {
      if (!live(i) || i == save || is_leaf(node(i).op)) { continue; }
      if (node(i).op == Op::kSave && node(i).attrs.field == field) { return false; }
      if (!reads_field(i, field)) { continue; }
      const int at = out_.plan.stage_of[static_cast<size_t>(i)];
      if (over_pages(i) || chooses_pages(node(i).op) || at > stage) { return false; }
      read_here = read_here || at == stage;
    }
    StageLayout layout;
    int bytes = 0;
    stage_fields(static_cast<size_t>(stage), layout, bytes);
    return !read_here || std::any_of(layout.fields.begin(), layout.fields.end(),
                                     [&](const StagedField& staged) { return staged.field == field; });
  }
  // Loads and views of a field are that field for whoever reads them.
  bool reads_field(int i, int field) const {
    return std::any_of(node(i).inputs.begin(), node(i).inputs.end(), [&](int input) {
      const Node& from = node(input);
      const bool is_field = (from.op == Op::kField || from.op == Op::kLoad) && from.attrs.field == field;
      return is_field || (is_view(from.op) && reads_field(input, field));
    });
  }

  void measure_expressions() {
    for (int i = 0; i < size(); ++i) {
      for (const int input : node(i).inputs) {
        length_[static_cast<size_t>(i)] =
            std::min(kLongExpression + 1, length_[static_cast<size_t>(i)] + length_[static_cast<size_t>(input)]);
      }
    }
  }

  // Elements that one element of a reduction or a product goes over; 0 for other operations.
  int loop_length(int i) const {
    const Node& n = node(i);
    const OpKind kind = vflow::op_info(n.op).kind;
    if (kind == OpKind::kProduct) { return node(n.inputs[0]).shape.cols; }
    if ((kind == OpKind::kReduction || kind == OpKind::kInterleave) && n.attrs.dim != 0) {
      return static_cast<int>(node(n.inputs[0]).shape.size() / n.shape.size());
    }
    return 0;
  }

  bool worth_keeping(int i) const {
    const Node& n = node(i);
    const double reads = reads_[static_cast<size_t>(i)];
    if (n.format == Format::kBatched) { return reads > 1; }
    if (loop_length(i) >= kLongLoop) { return reads > 1 || (n.shape.size() > 1 && looped_[static_cast<size_t>(i)]); }
    if (vflow::op_info(n.op).special > 0) { return reads > 1; }
    return consumers_[static_cast<size_t>(i)] > 1 &&
           (n.shape.size() <= kSmallValue || length_[static_cast<size_t>(i)] > kLongExpression);
  }

  void decide(int i) {
    const Node& n = node(i);
    if (n.op == Op::kQuery) {
      const bool keep = n.shape.size() <= kMaxQuery && reads_[static_cast<size_t>(i)] > 1;
      inside(i).home = keep ? Home::kOnce : Home::kExpression;
      return;
    }
    if (is_leaf(n.op) || chooses_pages(n.op) || writes_field(n.op)) { return; }
    const bool batched = n.format == Format::kBatched;
    if (over_pages(i)) {
      const bool alias = n.op == Op::kReshape;
      kept(i).home = alias ? Home::kExpression : batched ? Home::kWorkOnce : Home::kWork;
      return;
    }
    if (out_.keeps[static_cast<size_t>(i)] && n.op != Op::kLoad && side_ == Side::kIndexer) {
      kept(i).home = batched ? Home::kOnce : Home::kWork;
    }
    if (!is_view(n.op) && worth_keeping(i)) { inside(i).home = batched ? Home::kOnce : Home::kRecord; }
  }

  // How often computing all of node `i` once reads its operand.
  double reads_of(int i, size_t operand) const {
    const Node& n = node(i);
    const Node& from = node(n.inputs[operand]);
    if (n.op == Op::kMaskSlice) { return 0; }
    double reads = 1;
    if (vflow::op_info(n.op).kind == OpKind::kProduct) {
      reads = node(n.inputs[1 - operand]).shape.rows;
    } else if (loop_length(i) == 0 && !is_view(n.op)) {
      reads = std::max(1.0, static_cast<double>(n.shape.size()) / static_cast<double>(from.shape.size()));
    }
    const bool by_pages = from.format == Format::kBatched && n.format != Format::kBatched;
    return by_pages ? reads * kReadsByPages : reads;
  }

  void pass_reads_on(int i) {
    const Node& n = node(i);
    const size_t self = static_cast<size_t>(i);
    const bool in_memory =
        inside(i).home != Home::kExpression || over_pages(i) || chooses_pages(n.op) || writes_field(n.op);
    double evaluations = in_memory ? 1 : reads_[self];
    evaluations += !in_memory && kept(i).home != Home::kExpression ? 1 : 0;
    for (size_t k = 0; k < n.inputs.size(); ++k) {
      const int input = n.inputs[k];
      const size_t from = static_cast<size_t>(input);
      const bool from_kept = reads_kept(graph_, out_.plan, i, input) && kept(input).home != Home::kExpression;
      const bool later = reads_kept(graph_, out_.plan, i, input) && side_ == Side::kIndexer && !is_view(node(input).op);
      if (from_kept || later) {
        continue;  // another copy, which is made once
      }
      reads_[from] += evaluations * reads_of(i, k);
      ++consumers_[from];
      looped_[from] = looped_[from] || loop_length(i) > 0 || (!in_memory && looped_[self]);
    }
  }

  void allocate_once() {
    std::vector<Location*> all;
    std::vector<int64_t> sizes;
    int64_t total = 0;
    for (int i = 0; i < size(); ++i) {
      for (Location* location : {&inside(i), &kept(i)}) {
        if (live(i) && location->home == Home::kOnce) {
          all.push_back(location);
          sizes.push_back(round_up(node(i).shape.size(), 4));
          total += sizes.back();
        }
      }
    }
    while (total > kMaxOnce) {
      const size_t largest = static_cast<size_t>(std::max_element(sizes.begin(), sizes.end()) - sizes.begin());
      all[largest]->home = Home::kExpression;
      total -= sizes[largest];
      sizes[largest] = 0;
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (sizes[i] > 0) {
        all[i]->offset = out_.once_floats;
        out_.once_floats += sizes[i];
      }
    }
  }

  void allocate_work() {
    const auto take = [](int64_t& used, int64_t elements) {
      const int64_t at = used;
      used += round_up(elements, 4);
      return at;
    };
    for (int i = 0; i < size(); ++i) {
      if (!live(i)) { continue; }
      const Node& n = node(i);
      if (kept(i).home == Home::kWork) {
        kept(i).narrow = may_be_narrow(i);
        kept(i).offset = take(out_.work_floats, kept(i).narrow ? n.shape.size() / 2 : n.shape.size());
      } else if (kept(i).home == Home::kWorkOnce) {
        kept(i).offset = take(out_.work_once_floats, n.shape.size());
      } else if (n.op == Op::kSave && !out_.early[static_cast<size_t>(i)] && !outlives_stage(n.inputs[0])) {
        const vflow::Shape shape = node(n.inputs[0]).shape;
        out_.saved[static_cast<size_t>(i)] = {Home::kWork, take(out_.work_floats, shape.size())};
      }
    }
  }

  // Sixteen elements are a multiple of what is read and written at a time.
  bool may_be_narrow(int i) const {
    const Node& n = node(i);
    return forms_.pages && n.shape.cols % 16 == 0 && n.shape.size() > 16 &&
           kept_dtype(n, policy_.config.dtype) == vflow::Dtype::kBf16;
  }

  bool outlives_stage(int i) { return kept(i).home == Home::kWork; }

  // Fields that fused operations of a stage read, in 16-byte pieces where a page's share is not large.
  std::vector<int> fields_read(size_t stage) const {
    std::vector<int> fields;
    for (const int i : out_.plan.stages[stage].fused) {
      const Node& n = node(i);
      const bool write = n.op == Op::kSave && is_leaf(node(n.inputs[0]).op);
      for (const int input : n.inputs) {
        if (node(input).op == Op::kField && !write && n.op != Op::kMaskSlice) {
          fields.push_back(node(input).attrs.field);
        }
      }
      if (n.op == Op::kLoad) { fields.push_back(n.attrs.field); }
    }
    std::sort(fields.begin(), fields.end());
    fields.erase(std::unique(fields.begin(), fields.end()), fields.end());
    return fields;
  }

  void stage_fields(size_t stage, StageLayout& layout, int& bytes) const {
    const bool block = side_ == Side::kCache;
    for (const int field : fields_read(stage)) {
      const auto& info = policy_.program.fields[static_cast<size_t>(field)];
      const int64_t size = info.shape.size() * vflow::dtype_bytes(field_dtype(policy_, field));
      const bool known = std::any_of(layout.fields.begin(), layout.fields.end(),
                                     [&](const StagedField& staged) { return staged.field == field; });
      const bool fits =
          block ? bytes + size <= kMaxStagedOfBlock : size <= kMaxStagedField && bytes + size <= kMaxStaged;
      if (!known && fits && size % 16 == 0) {
        layout.fields.push_back({field, bytes, static_cast<int>(size)});
        bytes += static_cast<int>(size);
      }
    }
  }

  // Places the values of the stages [first, last) behind the staged fields; the largest ones become expressions again
  // if they do not fit.
  int place_values(size_t first, size_t last, int staged_bytes) {
    std::vector<int> values;
    int64_t total = staged_bytes;
    for (size_t stage = first; stage < last; ++stage) {
      for (const int i : out_.plan.stages[stage].fused) {
        if (inside(i).home == Home::kRecord) {
          values.push_back(i);
          total += 4 * round_up(node(i).shape.size(), 4);
        }
      }
    }
    const auto smaller = [&](int a, int b) { return node(a).shape.size() < node(b).shape.size(); };
    while (total > kMaxRecord) {
      const auto largest = std::max_element(values.begin(), values.end(), smaller);
      inside(*largest).home = Home::kExpression;
      total -= 4 * round_up(node(*largest).shape.size(), 4);
      values.erase(largest);
    }
    int64_t used = staged_bytes;
    for (const int i : values) {
      inside(i).offset = used / 4;
      used += 4 * round_up(node(i).shape.size(), 4);
    }
    return static_cast<int>(used);
  }

  void allocate_records() {
    int record = 0;
    const size_t stages = out_.plan.stages.size();
    if (side_ == Side::kCache) {
      out_.stages.resize(1);
      for (size_t stage = 0; stage < stages; ++stage) { stage_fields(stage, out_.stages[0], record); }
      record = place_values(0, stages, record);
    } else {
      out_.stages.resize(stages);
      for (size_t stage = 0; stage < stages; ++stage) {
        int bytes = 0;
        stage_fields(stage, out_.stages[stage], bytes);
        record = std::max(record, place_values(stage, stage + 1, bytes));
      }
    }
    const int pieces = std::max(1, record / 16);
    out_.record_bytes = 16 * (pieces % 2 == 0 ? pieces + 1 : pieces);
    out_.team = side_ == Side::kCache || out_.record_bytes > kMaxWarpRecord ? kThreads : 32;
    out_.tile_pages = 32;
    while (out_.tile_pages > 1 && (out_.team > 32 || out_.tile_pages * out_.record_bytes > kTeamBytes)) {
      out_.tile_pages /= 2;
    }
  }

  const vflow::Policy& policy_;
  Side side_;
  PolicyForms forms_;
  const Graph& graph_;
  Placement out_;
  std::vector<double> reads_;   // of each element of the value inside its stage
  std::vector<int> consumers_;  // operations that read it there
  std::vector<bool> looped_;    // is it read by a reduction or a product
  std::vector<int> length_;     // operations of the expression, if nothing of it were kept
};

}  // namespace

bool runs_over_pages(const Placement& placement, int node) {
  const int stage = placement.plan.stage_of[static_cast<size_t>(node)];
  if (stage < 0) { return false; }
  const std::vector<int>& list = placement.plan.stages[static_cast<size_t>(stage)].over_rows;
  return std::find(list.begin(), list.end(), node) != list.end();
}

vflow::Dtype field_dtype(const vflow::Policy& policy, int field) {
  return policy.program.fields[static_cast<size_t>(field)].builtin ? policy.config.kv_dtype : policy.config.dtype;
}

Placement place(const vflow::Policy& policy, Side side, const PolicyForms& forms) {
  return Placing(policy, side, forms).run();
}

PolicyForms wanted_forms() {
  const char* named = std::getenv("VORTEX_POLICY_FORMS");
  const std::string names = named == nullptr ? "" : "," + std::string(named) + ",";
  const auto wants = [&](const char* name) {
    return names == ",all," || names.find("," + std::string(name) + ",") != std::string::npos;
  };
  return {wants("special"), wants("saves"), wants("pages")};
}

}  // namespace vortex::compile
