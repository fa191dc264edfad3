#include "core/engine/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/transfer.h"

namespace vortex::engine {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int kCandidates = 24;
constexpr int kReferenceRows = 64;   // of the call that the fixed algorithm is taken from, and distinct rows of trials
constexpr size_t kTrialWeights = 4;  // layers whose weights the bits of two algorithms are compared on
constexpr size_t kColdBytes = size_t{128} << 20;  // weights a trial goes through: more than twice the L2 cache
constexpr int kReplays = 3;
constexpr int kSmallRows = 64;  // of the kernels between timed products
constexpr std::array kRowSizes = {8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024};

Status lt_status(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) { return ok_status(); }
  return environment_error(std::string("cuBLASLt failed while ") + what + ": " + cublasLtGetStatusString(status));
}

cuda::SkinnyGemm skinny(const GemmShape& shape) {
  cuda::SkinnyGemm args;
  args.fp32 = shape.fp32;
  args.swiglu = shape.swiglu;
  args.n = shape.n;
  args.k = shape.k;
  args.rows = shape.rows;
  args.stride = shape.stride;
  return args;
}

// As many rows at a time as our kernel takes.
Status launch_skinny(const GemmShape& shape, const cuda::SkinnySchedule& schedule, const cuda::Bf16* w,
                     const cuda::Bf16* x, void* y, cudaStream_t stream) {
  const size_t element = shape.fp32 ? sizeof(float) : sizeof(cuda::Bf16);
  for (int row = 0; row < shape.rows; row += cuda::kMaxSkinnyRows) {
    cuda::SkinnyGemm args = skinny(shape);
    args.rows = std::min(shape.rows - row, cuda::kMaxSkinnyRows);
    args.w = w;
    args.x = x + int64_t{row} * shape.k;
    args.y = static_cast<char*>(y) + static_cast<size_t>(row) * static_cast<size_t>(shape.stride) * element;
    VORTEX_TRY(cuda_status(cuda::skinny_gemm(args, schedule, stream), "multiplying"));
  }
  return ok_status();
}

// Has our kernel a schedule for this shape?
bool covered(const GemmShape& shape) {
  return cuda::skinny_gemm_supports(skinny(shape), {2, 1}) || cuda::skinny_gemm_supports(skinny(shape), {1, 1});
}

// The split of k that keeps an H100's 132 multiprocessors busy with the fewest sums to add.
int few_rows_split(const GemmShape& shape) {
  constexpr int kBlocks = 128;
  int split = 1;
  while (split < 8 && shape.n / 64 * split < kBlocks && shape.k / 64 >= 2 * split) { split *= 2; }
  return split;
}

int split_of(const cublasLtMatmulAlgo_t& algorithm) {
  int split = 1;
  size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split, sizeof(split), &written);
  return split;
}

}  // namespace

int padded_rows(int rows) {
  for (const int size : kRowSizes) {
    if (rows <= size) { return size; }
  }
  return (rows + kRowSizes.back() - 1) / kRowSizes.back() * kRowSizes.back();
}

// The product as cuBLASLt sees it, column-major: y^T [n, rows] = (w^T)^T [n, k] x^T [k, rows].
struct Gemms::Plan {
  GemmShape shape;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
  Choice choice;
  double seconds = 0;
  double cublas_seconds = 0;  // the best of cuBLASLt's
  int timed = 0;
  int differing = 0;

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (product != nullptr) { cublasLtMatmulDescDestroy(product); }
    for (cublasLtMatrixLayout_t layout : {w, x, y}) {
      if (layout != nullptr) { cublasLtMatrixLayoutDestroy(layout); }
    }
  }
};

TunedProduct Gemms::tuned(const Plan& plan) {
  TunedProduct product;
  product.skinny = plan.choice.skinny;
  product.groups = plan.choice.schedule.groups;
  product.split = plan.choice.schedule.split;
  std::memcpy(product.algorithm.data(), &plan.choice.algorithm, sizeof(plan.choice.algorithm));
  product.seconds = plan.seconds;
  product.cublas_seconds = plan.cublas_seconds;
  product.timed = plan.timed;
  product.differing = plan.differing;
  return product;
}

// The fixed algorithm of a shape (n, k) and what it gives for the distinct rows.
struct Gemms::Reference {
  Choice choice;
  std::vector<DeviceMemory> y;  // [kReferenceRows][stride], of each of the first kTrialWeights weights
};

Gemms::~Gemms() {
  plans_.clear();
  if (handle_ != nullptr) { cublasLtDestroy(handle_); }
}

Status Gemms::create(bool batch_invariant, bool own_products) {
  batch_invariant_ = batch_invariant;
  own_products_ = own_products;
  VORTEX_TRY(lt_status(cublasLtCreate(&handle_), "starting"));
  VORTEX_TRY(differing_.allocate(sizeof(std::uint32_t)));
  return workspace_.allocate(kWorkspaceBytes);
}

Result<Gemms::PlanPtr> Gemms::plan(const GemmShape& shape) const {
  auto plan = std::make_shared<Plan>();
  plan->shape = shape;
  const char* what = "describing a product";
  const auto n = static_cast<uint64_t>(shape.n);
  const auto k = static_cast<uint64_t>(shape.k);
  const auto rows = static_cast<uint64_t>(shape.rows);
  VORTEX_TRY(lt_status(cublasLtMatmulDescCreate(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), what));
  const cublasOperation_t transpose = CUBLAS_OP_T;
  VORTEX_TRY(lt_status(
      cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof(transpose)), what));
  VORTEX_TRY(lt_status(cublasLtMatrixLayoutCreate(&plan->w, CUDA_R_16BF, k, n, shape.k), what));
  VORTEX_TRY(lt_status(cublasLtMatrixLayoutCreate(&plan->x, CUDA_R_16BF, k, rows, shape.k), what));
  const cudaDataType_t out = shape.fp32 ? CUDA_R_32F : CUDA_R_16BF;
  VORTEX_TRY(
      lt_status(cublasLtMatrixLayoutCreate(&plan->y, out, n, rows, shape.swiglu ? shape.n : shape.stride), what));
  return plan;
}

Result<std::vector<Gemms::Choice>> Gemms::candidates(const Plan& plan) const {
  cublasLtMatmulPreference_t preference = nullptr;
  VORTEX_TRY(lt_status(cublasLtMatmulPreferenceCreate(&preference), "asking for algorithms"));
  // Partial sums meet in the workspace, in fp32 and a fixed order; never by atomics in the output.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                       sizeof(reductions));
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspaceBytes,
                                       sizeof(kWorkspaceBytes));
  std::vector<cublasLtMatmulHeuristicResult_t> found(kCandidates);
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, plan.product, plan.w, plan.x, plan.y, plan.y,
                                                               preference, kCandidates, found.data(), &count);
  cublasLtMatmulPreferenceDestroy(preference);
  VORTEX_TRY(lt_status(status, "asking for algorithms"));
  std::vector<Choice> choices;
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = found[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) { choices.push_back({false, {}, result.algo}); }
  }
  for (const int groups : {1, 2, 4}) {
    for (const int split : {1, 2, 4, 8}) {
      const cuda::SkinnySchedule schedule{groups, split};
      if (own_products_ && cuda::skinny_gemm_supports(skinny(plan.shape), schedule)) {
        choices.push_back({true, schedule, {}});
      }
    }
  }
  if (choices.empty()) {
    return candidate_error("there is no algorithm for a product of " + std::to_string(plan.shape.n) + " by " +
                           std::to_string(plan.shape.k) + " with " + std::to_string(plan.shape.rows) + " rows");
  }
  return choices;
}

Status Gemms::launch(const Plan& plan, const Choice& choice, const cuda::Bf16* w, const cuda::Bf16* x, void* y,
                     cuda::Bf16* wide, cudaStream_t stream) const {
  if (choice.skinny) { return launch_skinny(plan.shape, choice.schedule, w, x, y, stream); }
  const float one = 1.0F;
  const float zero = 0.0F;
  const GemmShape& s = plan.shape;
  void* product = s.swiglu ? wide : y;
  VORTEX_TRY(lt_status(cublasLtMatmul(handle_, plan.product, &one, w, plan.w, x, plan.x, &zero, product, plan.y,
                                      product, plan.y, &choice.algorithm, workspace_.data(), kWorkspaceBytes, stream),
                       "multiplying"));
  if (!s.swiglu) { return ok_status(); }
  return cuda_status(cuda::swiglu(wide, static_cast<cuda::Bf16*>(y), s.rows, s.n / 2, stream), "applying SwiGLU");
}

Status Gemms::launch_trial(const Plan& plan, const Choice& choice, const cuda::Bf16* w, cudaStream_t stream) const {
  return launch(plan, choice, w, x_.as<cuda::Bf16>(), y_.data(), wide_.as<cuda::Bf16>(), stream);
}

Status Gemms::reserve(const GemmShape& shape, cudaStream_t stream) {
  const int rows = std::max(shape.rows, kReferenceRows);
  const auto x_bytes = static_cast<size_t>(rows) * static_cast<size_t>(shape.k) * sizeof(cuda::Bf16);
  const auto y_bytes =
      static_cast<size_t>(rows) * static_cast<size_t>(shape.stride) * (shape.fp32 ? sizeof(float) : sizeof(cuda::Bf16));
  if (y_.bytes() < y_bytes) { VORTEX_TRY(y_.allocate(y_bytes)); }
  const size_t wide_bytes =
      shape.swiglu ? static_cast<size_t>(rows) * static_cast<size_t>(shape.n) * sizeof(cuda::Bf16) : 0;
  if (wide_.bytes() < wide_bytes) { VORTEX_TRY(wide_.allocate(wide_bytes)); }
  const size_t small_bytes = 3 * kSmallRows * static_cast<size_t>(shape.k) * sizeof(cuda::Bf16);
  if (small_.bytes() < small_bytes) {
    VORTEX_TRY(small_.allocate(small_bytes));
    VORTEX_TRY(cuda_status(cudaMemsetAsync(small_.data(), 0, small_bytes, stream), "filling an operand"));
  }
  if (x_columns_ == shape.k && x_.bytes() >= x_bytes) { return ok_status(); }
  if (x_.bytes() < x_bytes) { VORTEX_TRY(x_.allocate(x_bytes)); }
  x_columns_ = shape.k;
  const auto row_bytes = static_cast<size_t>(shape.k) * sizeof(cuda::Bf16);
  const size_t period = kReferenceRows * row_bytes;
  VORTEX_TRY(cuda_status(cuda::fill_random(x_.data(), cuda::FillType::bf16, kReferenceRows * int64_t{shape.k},
                                           static_cast<uint64_t>(shape.k), 0.0F, 1.0F, stream),
                         "filling an operand"));
  for (size_t at = period; at < x_.bytes(); at += period) {
    VORTEX_TRY(cuda_status(cudaMemcpyAsync(x_.as<char>() + at, x_.data(), std::min(period, x_.bytes() - at),
                                           cudaMemcpyDeviceToDevice, stream),
                           "filling an operand"));
  }
  return ok_status();
}

// The fixed algorithm, among those for kReferenceRows rows: ours, or the first of cuBLASLt's that does not split k.
// Both follow from the shape alone: what a timing chose might differ from one engine to the next.
Result<Gemms::Choice> Gemms::fixed_choice(const Plan& plan, bool ours) const {
  VORTEX_ASSIGN(const auto found, candidates(plan));
  const int split = few_rows_split(plan.shape);
  const auto fixed = std::find_if(found.begin(), found.end(), [&](const Choice& choice) {
    return ours ? choice.skinny && choice.schedule.split == split : !choice.skinny && split_of(choice.algorithm) <= 1;
  });
  return fixed == found.end() ? found.front() : *fixed;
}

Result<Gemms::Reference*> Gemms::reference(const GemmShape& shape, std::span<const cuda::Bf16* const> weights,
                                           cudaStream_t stream) {
  GemmShape fixed = shape;
  fixed.rows = kReferenceRows;
  const bool ours = own_products_ && covered(shape) && covered(fixed);
  auto& slot = references_[{shape.n, shape.k, shape.stride, shape.fp32, shape.swiglu, ours}];
  if (slot != nullptr) { return slot.get(); }
  VORTEX_ASSIGN(const PlanPtr plan_of_fixed, plan(fixed));
  auto made = std::make_shared<Reference>();
  VORTEX_ASSIGN(made->choice, fixed_choice(*plan_of_fixed, ours));
  const size_t bytes = kReferenceRows * static_cast<size_t>(shape.stride) * (shape.fp32 ? 4 : 2);
  for (const cuda::Bf16* w : weights.first(std::min(weights.size(), kTrialWeights))) {
    VORTEX_TRY(launch_trial(*plan_of_fixed, made->choice, w, stream));
    VORTEX_TRY(made->y.emplace_back().allocate(bytes));
    VORTEX_TRY(cuda_status(cudaMemcpyAsync(made->y.back().data(), y_.data(), bytes, cudaMemcpyDeviceToDevice, stream),
                           "keeping a reference product"));
  }
  slot = std::move(made);
  return slot.get();
}

Result<bool> Gemms::agrees(const Plan& plan, const Choice& choice, const Reference& reference,
                           std::span<const cuda::Bf16* const> weights, cudaStream_t stream) {
  const GemmShape& s = plan.shape;
  const char* what = "comparing products";
  VORTEX_TRY(cuda_status(cudaMemsetAsync(differing_.data(), 0, sizeof(std::uint32_t), stream), what));
  for (size_t i = 0; i < std::min(reference.y.size(), weights.size()); ++i) {
    VORTEX_TRY(launch_trial(plan, choice, weights[i], stream));
    VORTEX_TRY(cuda_status(cuda::count_differing(y_.data(), reference.y[i].data(), s.fp32 ? 4 : 2, s.rows,
                                                 std::min(s.rows, kReferenceRows), s.columns(), s.stride,
                                                 differing_.as<std::uint32_t>(), stream),
                           what));
  }
  std::uint32_t differing = 0;
  VORTEX_TRY(cuda_status(
      cudaMemcpyAsync(&differing, differing_.data(), sizeof(differing), cudaMemcpyDeviceToHost, stream), what));
  VORTEX_TRY(cuda_status(cudaStreamSynchronize(stream), what));
  return differing == 0;
}

// Seconds of one product behind a small kernel, as in a step: what a product fetches while the small kernel runs is its
// gain. The best of a few replays of a graph of many, each with other weights, so that neither the host's launches nor
// the cache are measured.
Result<double> Gemms::time(const Plan& plan, const Choice& choice, std::span<const cuda::Bf16* const> weights,
                           cudaStream_t stream) {
  const GemmShape& s = plan.shape;
  const size_t weight_bytes = static_cast<size_t>(s.n) * static_cast<size_t>(s.k) * sizeof(cuda::Bf16);
  const size_t products = std::clamp(kColdBytes / weight_bytes, size_t{2}, size_t{32});
  Graph graph;
  const Status captured = graph.capture(stream, [&]() -> Status {
    for (size_t i = 0; i < products; ++i) {
      auto* small = small_.as<cuda::Bf16>();
      VORTEX_TRY(cuda_status(cuda::swiglu(small, small + int64_t{2} * kSmallRows * s.k, kSmallRows, s.k, stream),
                             "timing a product"));
      VORTEX_TRY(launch_trial(plan, choice, weights[i % weights.size()], stream));
    }
    return ok_status();
  });
  VORTEX_TRY(captured);
  cudaEvent_t start = nullptr;
  cudaEvent_t stop = nullptr;
  VORTEX_TRY(cuda_status(cudaEventCreate(&start), "timing a product"));
  VORTEX_TRY(cuda_status(cudaEventCreate(&stop), "timing a product"));
  float best = std::numeric_limits<float>::max();
  Status status = ok_status();
  for (int i = 0; i <= kReplays && status.ok(); ++i) {
    cudaEventRecord(start, stream);
    status = graph.launch(stream);
    cudaEventRecord(stop, stream);
    if (status.ok()) { status = cuda_status(cudaEventSynchronize(stop), "timing a product"); }
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, start, stop);
    if (i > 0) {
      best = std::min(best, milliseconds);  // the first one warms up
    }
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  VORTEX_TRY(status);
  return static_cast<double>(best) * 1e-3 / static_cast<double>(products);
}

// Where nothing agrees with the fixed algorithm of a shape of many rows: our kernel, some rows at a time.
Status Gemms::fall_back(Plan& plan, std::span<const cuda::Bf16* const> weights, cudaStream_t stream) {
  GemmShape few = plan.shape;
  few.rows = std::min(few.rows, kReferenceRows);
  if (!own_products_ || !covered(few)) { return ok_status(); }
  VORTEX_ASSIGN(const Reference* narrow, reference(few, weights, stream));
  plan.choice = narrow->choice;
  VORTEX_ASSIGN(plan.seconds, time(plan, plan.choice, weights, stream));
  ++plan.timed;
  return ok_status();
}

Status Gemms::choose(Plan& plan, std::span<const cuda::Bf16* const> weights, cudaStream_t stream) {
  VORTEX_TRY(reserve(plan.shape, stream));
  Reference* fixed = nullptr;
  if (batch_invariant_) { VORTEX_ASSIGN(fixed, reference(plan.shape, weights, stream)); }
  VORTEX_ASSIGN(const auto found, candidates(plan));
  plan.seconds = std::numeric_limits<double>::max();
  const auto consider = [&](const Choice& choice) -> Status {
    if (fixed != nullptr) {
      // That two algorithms agree on random operands does not prove that they always do; one split of k does.
      const bool ours = fixed->choice.skinny;
      if (ours && (!choice.skinny || choice.schedule.split != fixed->choice.schedule.split)) { return ok_status(); }
      VORTEX_ASSIGN(const bool same, agrees(plan, choice, *fixed, weights, stream));
      if (!same) {
        ++plan.differing;
        return ok_status();
      }
    }
    ++plan.timed;
    VORTEX_ASSIGN(const double seconds, time(plan, choice, weights, stream));
    if (!choice.skinny && (plan.cublas_seconds == 0 || seconds < plan.cublas_seconds)) {
      plan.cublas_seconds = seconds;
    }
    if (seconds < plan.seconds) {
      plan.seconds = seconds;
      plan.choice = choice;
    }
    return ok_status();
  };
  for (const Choice& choice : found) { VORTEX_TRY(consider(choice)); }
  if (plan.timed == 0) { VORTEX_TRY(fall_back(plan, weights, stream)); }
  if (plan.timed == 0) {
    return internal_error("no algorithm gives the same bits at " + std::to_string(plan.shape.rows) + " rows as at " +
                          std::to_string(kReferenceRows) + " for a product of " + std::to_string(plan.shape.n) +
                          " by " + std::to_string(plan.shape.k));
  }
  return ok_status();
}

void Gemms::use_cache(const std::filesystem::path& folder, const std::string& context) {
  cache_ = GemmCache(folder, context + " cuBLASLt " + std::to_string(cublasLtGetVersion()) +
                                 (batch_invariant_ ? " invariant" : "") + (own_products_ ? " own" : ""));
}

// Takes a choice that was kept, if it can be run.
bool Gemms::adopt(Plan& plan, const TunedProduct& known) const {
  Choice choice;
  choice.skinny = known.skinny;
  choice.schedule = {known.groups, known.split};
  static_assert(sizeof(choice.algorithm) == sizeof(known.algorithm));
  std::memcpy(&choice.algorithm, known.algorithm.data(), sizeof(choice.algorithm));
  if (choice.skinny) {
    GemmShape few = plan.shape;
    few.rows = std::min(few.rows, cuda::kMaxSkinnyRows);
    if (!own_products_ || !cuda::skinny_gemm_supports(skinny(few), choice.schedule)) { return false; }
  } else {
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        cublasLtMatmulAlgoCheck(handle_, plan.product, plan.w, plan.x, plan.y, plan.y, &choice.algorithm, &result);
    if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceBytes) { return false; }
  }
  plan.choice = choice;
  plan.seconds = known.seconds;
  plan.cublas_seconds = known.cublas_seconds;
  plan.timed = known.timed;
  plan.differing = known.differing;
  return true;
}

Status Gemms::tune(const GemmShape& shape, std::span<const cuda::Bf16* const> weights, cudaStream_t stream) {
  if (plans_.contains(shape)) { return ok_status(); }
  VORTEX_ASSIGN(PlanPtr made, plan(shape));
  const std::optional<TunedProduct> known = cache_.find(shape);
  if (!known || !adopt(*made, *known)) {
    VORTEX_TRY(choose(*made, weights, stream));
    cache_.keep(shape, tuned(*made));
  }
  plans_.emplace(shape, std::move(made));
  return ok_status();
}

Status Gemms::run(const GemmShape& shape, const cuda::Bf16* w, const cuda::Bf16* x, void* y, cuda::Bf16* wide,
                  cudaStream_t stream) const {
  const auto found = plans_.find(shape);
  if (found == plans_.end()) { return internal_error("a matrix product ran before its shape was tuned"); }
  return launch(*found->second, found->second->choice, w, x, y, wide, stream);
}

double Gemms::seconds(const GemmShape& shape) const {
  const auto found = plans_.find(shape);
  return found == plans_.end() ? 0 : found->second->seconds;
}

std::string Gemms::describe() const {
  std::string text;
  for (const auto& [shape, plan] : plans_) {
    const Choice& choice = plan->choice;
    const std::string how = choice.skinny ? "skinny " + std::to_string(choice.schedule.groups) + " groups, split " +
                                                std::to_string(choice.schedule.split)
                                          : "cuBLASLt, split " + std::to_string(split_of(choice.algorithm));
    char line[240];
    std::snprintf(
        line, sizeof(line),
        "%d rows, %d x %d%s: %.2f us behind a small kernel, %.2f TB/s of weights by %s (cuBLASLt's best %.2f us); "
        "%d timed, %d with other bits\n",
        shape.rows, shape.n, shape.k, shape.swiglu ? " and SwiGLU" : "", plan->seconds * 1e6,
        2e-12 * shape.n * shape.k / plan->seconds, how.c_str(), plan->cublas_seconds * 1e6, plan->timed,
        plan->differing);
    text += line;
  }
  return text;
}

}  // namespace vortex::engine
