#include "core/compile/cpu/execute.h"

#include <algorithm>

#include "kernels/cpu/bf16.h"

namespace vortex::compile {

namespace {

struct Tile {
  int64_t first = 0;
  int64_t count = 0;
};

// Resolves places of one tile and runs steps on it.
class Runner {
 public:
  Runner(const RowTask& task, Tile tile) : task_(task), kernels_(*task.kernels), tile_(tile) {}

  void run(const std::vector<Step>& steps) const {
    for (const Step& step : steps) { run(step); }
  }

 private:
  float* at(const Place& place) const {
    Scratch& s = *task_.scratch;
    switch (place.space) {
      case Space::kTile:
        return s.tile.data() + place.offset * task_.lowered->tile_pages;
      case Space::kRow:
        return s.row.data() + place.offset * task_.computed + tile_.first * place.shape.size();
      case Space::kBatched:
        return s.batched.data() + place.offset;
    }
    return nullptr;
  }
  int64_t pages_of(const Place& place) const { return place.space == Space::kBatched ? 1 : tile_.count; }
  cpu::Operand operand(const Place& place) const {
    return {at(place), place.shape.rows, place.shape.cols, place.space != Space::kBatched};
  }
  cpu::Extent extent(const Place& place) const { return {pages_of(place), place.shape.rows, place.shape.cols}; }

  void run(const Step& s) const {
    const auto alpha = static_cast<float>(s.attrs.alpha);
    const auto beta = static_cast<float>(s.attrs.beta);
    float* out = at(s.out);
    switch (s.kind) {
      case StepKind::kGather:
        cpu::gather_pages(kernels_, task_.fields[static_cast<size_t>(s.field)], task_.pages + tile_.first, tile_.count,
                          task_.computed - tile_.first - tile_.count, out);
        return;
      case StepKind::kBinary:
        kernels_.binary(static_cast<cpu::Binary>(s.code), alpha, beta, extent(s.out), operand(s.x), operand(s.y), out);
        return;
      case StepKind::kUnary:
        kernels_.unary(static_cast<cpu::Unary>(s.code), alpha, beta, pages_of(s.out) * s.out.shape.size(), at(s.x),
                       out);
        return;
      case StepKind::kReduceRows:
        kernels_.reduce_rows(static_cast<cpu::Reduction>(s.code), extent(s.x), s.group, at(s.x), out);
        return;
      case StepKind::kReduceCols:
        kernels_.reduce_cols(static_cast<cpu::Reduction>(s.code), extent(s.x), s.group, at(s.x), out);
        return;
      case StepKind::kReduceBound: {
        const cpu::Operand left[] = {operand(s.x), operand(s.y)};
        const cpu::Operand right[] = {operand(s.z), operand(s.w)};
        const cpu::Extent bounds{pages_of(s.out), s.out.shape.rows, s.out.shape.cols * s.group};
        kernels_.reduce_bound(s.bound, static_cast<cpu::Reduction>(s.code), bounds, s.group, left, right, out);
        return;
      }
      case StepKind::kGemm:
        kernels_.gemm(pages_of(s.out), operand(s.x), operand(s.y), out);
        return;
      case StepKind::kKron:
        kernels_.kron(pages_of(s.out), s.axes, operand(s.x), operand(s.y), out);
        return;
      case StepKind::kTranspose:
        kernels_.transpose(extent(s.x), at(s.x), out);
        return;
      case StepKind::kMask:
        run_mask(s, alpha, beta, out);
        return;
      case StepKind::kKeep:
        run_keep(s, out);
        return;
      case StepKind::kNone:
      case StepKind::kReduce:
      case StepKind::kTransformPages:
      case StepKind::kReducePages:
      case StepKind::kParameterGemm:
        return;  // operations over pages run in run_over_rows; the first two never become steps
    }
  }

  void run_mask(const Step& s, float inside, float outside, float* out) const {
    for (int64_t p = 0; p < pages_of(s.out); ++p) {
      for (int r = 0; r < s.out.shape.rows; ++r) {
        for (int c = 0; c < s.out.shape.cols; ++c) {
          const int position = s.attrs.dim == 1 ? r : c;
          *out++ = position >= s.attrs.start && position < s.attrs.end ? inside : outside;
        }
      }
    }
  }

  void run_keep(const Step& s, float* out) const {
    const int64_t count = pages_of(s.out) * s.out.shape.size();
    if (s.round) {
      kernels_.round_bf16(count, at(s.x), out);
    } else if (at(s.x) != out) {
      std::copy_n(at(s.x), count, out);
    }
  }

  const RowTask& task_;
  const cpu::VectorKernels& kernels_;
  Tile tile_;
};

// Softmax and its like: the middle is computed, the first `bos` pages are copied.
void run_page_transform(const RowTask& task, const Step& s) {
  const int64_t size = s.x.shape.size();
  const float* x = row_values(task, s.x);
  float* out = task.scratch->row.data() + s.out.offset * task.computed;
  const int64_t copied = task.copy_over_rows ? task.computed : std::min(task.bos, task.computed);
  const int64_t middle = task.computed - copied;
  std::copy_n(x, copied * size, out);
  cpu::PageArgs args;
  args.scale = static_cast<float>(s.attrs.scale);
  if (s.constant >= 0) {
    const PreparedConstant& weight = (*task.constants)[static_cast<size_t>(s.constant)];
    args.taps = weight.dims[0];
    args.weight = weight.data.data();
  }
  task.kernels->transform_pages(static_cast<cpu::PageTransform>(s.code), args, middle, size, x + copied * size,
                                out + copied * size, task.scratch->pages.data());
  task.kernels->round_bf16(task.computed * size, out, out);
}

void run_parameter_gemm(const RowTask& task, const Step& s) {
  const PreparedConstant& p = (*task.constants)[static_cast<size_t>(s.constant)];
  float* batched = task.scratch->batched.data();
  int index = task.layer;
  if (!p.layer_lookup.empty()) {
    const auto last = static_cast<int>(p.layer_lookup.size()) - 1;
    index = p.layer_lookup[static_cast<size_t>(std::clamp(task.layer, 0, last))];
  }
  index = std::clamp(index, 0, p.dims[0] - 1);
  const int64_t matrix = static_cast<int64_t>(p.dims[1]) * p.dims[2];
  task.kernels->round_bf16(s.x.shape.size(), batched + s.x.offset, batched + s.y.offset);
  const cpu::Operand x{batched + s.y.offset, s.x.shape.rows, s.x.shape.cols, false};
  const cpu::Operand y{p.data.data() + index * matrix, p.dims[1], p.dims[2], false};
  task.kernels->gemm(1, x, y, batched + s.out.offset);
}

void run_over_rows(const RowTask& task, const Step& s) {
  float* batched = task.scratch->batched.data();
  if (s.kind == StepKind::kParameterGemm || s.kind == StepKind::kReducePages) {
    if (s.kind == StepKind::kParameterGemm) {
      run_parameter_gemm(task, s);
    } else {
      const int64_t first = std::min(task.bos, task.computed);
      const int64_t size = s.x.shape.size();
      task.kernels->reduce_pages(static_cast<cpu::Reduction>(s.code), task.computed - first, size,
                                 row_values(task, s.x) + first * size, batched + s.out.offset,
                                 task.scratch->pages.data());
    }
    if (s.round) { task.kernels->round_bf16(s.out.shape.size(), batched + s.out.offset, batched + s.out.offset); }
    return;
  }
  run_page_transform(task, s);
}

void grow(AlignedVector<float>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) { buffer.resize(static_cast<size_t>(size)); }
}

void reserve(const RowTask& task) {
  const Lowered& lowered = *task.lowered;
  Scratch& scratch = *task.scratch;
  grow(scratch.tile, lowered.tile_elements * lowered.tile_pages);
  grow(scratch.row, lowered.row_elements * task.computed);
  grow(scratch.batched, lowered.batched_elements);
  grow(scratch.pages, 32 * lowered.largest_page_value);
}

template <typename Body>
void for_tiles(const RowTask& task, Body&& body) {
  const int64_t step = task.lowered->tile_pages;
  for (int64_t first = 0; first < task.computed; first += step) {
    body(Tile{first, std::min(step, task.computed - first)});
  }
}

}  // namespace

std::vector<PreparedConstant> prepare_constants(const vflow::Program& program) {
  std::vector<PreparedConstant> prepared;
  for (const vflow::Constant& constant : program.constants) {
    prepared.push_back({constant.dims, constant.data, constant.layer_lookup});
    for (float& x : prepared.back().data) { x = cpu::round_to_bf16(x); }
  }
  return prepared;
}

const float* row_values(const RowTask& task, const Place& place) {
  return task.scratch->row.data() + place.offset * task.computed;
}

void run_row(RowTask& task) {
  reserve(task);
  const Place& query = task.lowered->query;
  task.kernels->round_bf16(query.shape.size(), task.q, task.scratch->batched.data() + query.offset);
  for (const LoweredStage& stage : task.lowered->stages) {
    Runner(task, Tile{0, 1}).run(stage.once);
    if (!stage.per_tile.empty()) {
      for_tiles(task, [&](Tile tile) { Runner(task, tile).run(stage.per_tile); });
    }
    for (const Step& step : stage.over_rows) { run_over_rows(task, step); }
  }
}

void save_row(const RowTask& task) {
  for (const FieldWrite& write : task.lowered->writes) {
    cpu::scatter_pages(*task.kernels, task.fields[static_cast<size_t>(write.field)], task.pages, task.computed,
                       row_values(task, *write.value));
  }
}

void run_pages(RowTask& task) {
  reserve(task);
  std::vector<float> constant;
  for_tiles(task, [&](Tile tile) {
    for (const LoweredStage& stage : task.lowered->stages) { Runner(task, tile).run(stage.per_tile); }
    for (const FieldWrite& write : task.lowered->writes) {
      const cpu::PagedView& view = task.fields[static_cast<size_t>(write.field)];
      const float* from = nullptr;
      if (write.value) {
        from = task.scratch->tile.data() + write.value->offset * task.lowered->tile_pages;
      } else {
        constant.assign(static_cast<size_t>(view.size * tile.count), write.constant);
        from = constant.data();
      }
      cpu::scatter_pages(*task.kernels, view, task.pages + tile.first, tile.count, from);
    }
  });
}

}  // namespace vortex::compile
