// The matrix products of an expert layer. Time goes into reading the weights of the experts that are touched: a few
// thread blocks, one a multiprocessor, walk a list of (tile of rows, outputs) that the device has made and keep as much
// of the weights on their way as shared memory holds, across the ends of list items.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/sm90_expert_block.cuh"

namespace vortex::cuda {
namespace {

using namespace expert_products;

template <int kOutputs, int kRows, bool kFp8>
__global__ void __launch_bounds__(kThreads, 1)
    experts_kernel(const __grid_constant__ CUtensorMap routed, const __grid_constant__ CUtensorMap shared_map,
                   const __grid_constant__ Product product) {
  extern __shared__ unsigned char storage[];
  allow_successor();
  const std::uint32_t misaligned = shared_address(storage) % kAlignment;
  unsigned char* aligned = storage + (misaligned == 0 ? 0 : kAlignment - misaligned);
  auto& shared = *reinterpret_cast<Shared<kOutputs, kRows, kFp8>*>(aligned);
  Block<kOutputs, kRows, kFp8>(product, &routed, &shared_map, shared).run();
}

// ---- On the host.

struct Matrices {
  ExpertWeights routed;
  ExpertWeights shared;
  int k = 0;
  int shared_k = 0;
  std::int64_t rows = 0;
  std::int64_t shared_rows = 0;
};

template <int kOutputs, int kRows, bool kFp8>
cudaError_t launch(const Product& p, const Matrices& m, cudaStream_t stream) {
  const auto kernel = experts_kernel<kOutputs, kRows, kFp8>;
  constexpr std::size_t kBytes = sizeof(Shared<kOutputs, kRows, kFp8>) + kAlignment;
  static_assert(kBytes <= 227 * 1024);
  CUtensorMap routed;
  cudaError_t error = map_matrix(&routed, m.routed.values, kFp8, m.rows, m.k, kOutputs / 2);
  CUtensorMap shared_map = routed;
  if (error == cudaSuccess && p.shared_tiles > 0) {
    error = map_matrix(&shared_map, m.shared.values, kFp8, m.shared_rows, m.shared_k, kOutputs / 2);
  }
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kBytes));
  }
  if (error != cudaSuccess) { return error; }
  return launch_early(kernel, dim3(static_cast<unsigned>(p.mlp.blocks)), kThreads, kBytes, stream, routed, shared_map,
                      p);
}

// Experts that are likely touched, if every choice is as likely as any other.
double likely_touched(const ExpertMlp& a) {
  return a.experts * (1.0 - std::pow(1.0 - static_cast<double>(a.chosen) / a.experts, a.rows));
}

// Lanes of a warp that start copies take turns, some 70 cycles each. In that time a multiprocessor's share of memory
// brings so many outputs of a step, of bf16 weights; of fp8 twice as many.
constexpr double kOutputsPerCopy = 5.0;

// Outputs of a step that memory brings while its copies are started: boxes of the weights, then a row of x each.
double outputs_of_copies(const ExpertMlp& a) {
  const bool fp8 = a.gate_up.scales != nullptr;
  const double rows = static_cast<double>(a.rows) * a.chosen / likely_touched(a);
  return ((fp8 ? 2 : 4) + std::clamp<double>(rows, 1, expert_tile_rows(a.rows))) * (fp8 ? 2 : 1) * kOutputsPerCopy;
}

// The outputs of an item that leave the fewest multiprocessors idle at the end, where starting copies is no longer than
// what they bring; of equal ones the most, as every item costs some time of its own.
int choose_outputs(const ExpertMlp& a, bool gated, int most) {
  const double copies = outputs_of_copies(a);
  int best = most;
  double least = 1e300;
  for (int outputs = most; outputs >= 16; outputs /= 2) {
    const int per_item = gated ? outputs / 2 : outputs;
    const int shared = a.shared_inner > 0 ? ceil_div(gated ? a.shared_inner : a.hidden, per_item) : 0;
    const double items = likely_touched(a) * ceil_div(gated ? a.inner : a.hidden, per_item) +
                         shared * ceil_div(a.rows, expert_tile_rows(a.rows));
    const double turns = std::ceil(items / a.blocks - 0.01);
    const double time = turns * (std::max<double>(outputs, copies) + 2);
    if (time < least) {
      least = time;
      best = outputs;
    }
  }
  return best;
}

template <bool kFp8>
cudaError_t launch_type(const Product& p, const Matrices& m, int outputs, cudaStream_t stream) {
  const int rows = expert_tile_rows(p.mlp.rows);
  // Of more the ring would be shorter than there are warps; and the sums of a step of fp8 weights and those of all
  // steps take twice the registers.
  const int most = rows == 32 ? 32 : 64;
  if (outputs == 0) { outputs = choose_outputs(p.mlp, p.gated, most); }
  const auto of_rows = [&]<int kOutputs>() {
    if (rows == 8) { return launch<kOutputs, 8, kFp8>(p, m, stream); }
    if (rows == 16) { return launch<kOutputs, 16, kFp8>(p, m, stream); }
    return launch<std::min(kOutputs, 32), 32, kFp8>(p, m, stream);
  };
  if (outputs == 16) { return of_rows.template operator()<16>(); }
  if (outputs == 32) { return of_rows.template operator()<32>(); }
  return outputs == 64 ? of_rows.template operator()<64>() : cudaErrorNotSupported;
}

cudaError_t launch_product(const Product& p, const Matrices& m, int outputs, cudaStream_t stream) {
  return m.routed.scales != nullptr ? launch_type<true>(p, m, outputs, stream)
                                    : launch_type<false>(p, m, outputs, stream);
}

bool valid(const ExpertMlp& a) {
  const bool fp8 = a.gate_up.scales != nullptr;
  const auto there = [&](const ExpertWeights& w) { return w.values && (w.scales != nullptr) == fp8; };
  const bool shared = a.shared_inner == 0 || (there(a.shared_gate_up) && there(a.shared_down));
  return there(a.gate_up) && there(a.down) && shared && a.x && a.inner_rows && a.answers && a.plan.order &&
         a.plan.tiles && a.plan.num_tiles && a.blocks > 0;
}

Product product_of(const ExpertMlp& a, bool gated) {
  Product p;
  p.mlp = a;
  p.gated = gated;
  p.shared_tiles = a.shared_inner > 0 ? ceil_div(a.rows, expert_tile_rows(a.rows)) : 0;
  p.shared_width = gated ? a.shared_inner : a.hidden;
  p.width = gated ? a.inner : a.hidden;
  p.scales = gated ? a.gate_up.scales : a.down.scales;
  p.shared_scales = gated ? a.shared_gate_up.scales : a.shared_down.scales;
  return p;
}

}  // namespace

// Of few rows an expert has a few, and small tiles leave room for more weights on their way: measured with 64 and 256
// experts (docs/benchmarks/experts.md).
int expert_tile_rows(int rows) { return rows <= 32 ? 8 : rows <= 128 ? 16 : 32; }

std::int64_t expert_inner_elements(const ExpertMlp& args) {
  const std::int64_t row = static_cast<std::int64_t>(args.chosen) * args.inner + args.shared_inner;
  return args.rows * row;
}

bool experts_support(const ExpertMlp& args) {
  const int multiple = args.gate_up.scales != nullptr ? kScaleBlock : 16;
  const auto fits = [&](int size) { return size > 0 && size % multiple == 0; };
  const std::int64_t pairs = static_cast<std::int64_t>(args.rows) * args.chosen;
  return args.rows > 0 && args.experts > 0 && args.experts <= kMaxExperts && args.chosen > 0 &&
         args.chosen <= std::min(args.experts, kMaxChosen) && pairs <= kMaxRoutedPairs &&
         args.experts + pairs / expert_tile_rows(args.rows) <= kMaxExpertTiles && fits(args.hidden) &&
         fits(args.inner) && (args.shared_inner == 0 || fits(args.shared_inner));
}

cudaError_t expert_gate_up(const ExpertMlp& args, const ExpertSchedule& schedule, cudaStream_t stream) {
  if (!valid(args)) { return cudaErrorInvalidValue; }
  if (!experts_support(args)) { return cudaErrorNotSupported; }
  const std::int64_t rows = 2 * static_cast<std::int64_t>(args.inner) * args.experts;
  const Matrices matrices{args.gate_up, args.shared_gate_up, args.hidden, args.hidden, rows, 2 * args.shared_inner};
  return launch_product(product_of(args, true), matrices, schedule.gate_up, stream);
}

cudaError_t expert_down(const ExpertMlp& args, const ExpertSchedule& schedule, cudaStream_t stream) {
  if (!valid(args)) { return cudaErrorInvalidValue; }
  if (!experts_support(args)) { return cudaErrorNotSupported; }
  const std::int64_t rows = static_cast<std::int64_t>(args.hidden) * args.experts;
  const Matrices matrices{args.down, args.shared_down, args.inner, args.shared_inner, rows, args.hidden};
  return launch_product(product_of(args, false), matrices, schedule.down, stream);
}

}  // namespace vortex::cuda
