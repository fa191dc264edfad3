// Compiled policies on a device, against the CPU backend: the same pages, the same field values. Everything that must
// not be read is poisoned (core/compile/random_batch.h).

#include <cstdlib>
#include <cstring>

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/cuda/cuda_executable.h"
#include "core/compile/random_batch.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cuda/device_array.h"
#include "tests/core/compile/cuda/support.h"

namespace vortex::compile {
namespace {

using cuda::DeviceArray;

class CudaPolicy : public ::testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) { GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error); }
  }
};

// A RandomBatch and its copy on the device.
class DeviceBatch {
 public:
  DeviceBatch(const vflow::Policy& policy, RandomBatch& world, const CudaExecutable& executable)
      : policy_(policy), world_(world) {
    for (const std::vector<std::byte>& memory : world.memory()) { memory_.emplace_back(memory); }
    const IndexerBatch batch = world.batch();
    max_blocks_ = batch.max_blocks;
    const auto slots = static_cast<size_t>(batch.requests) * static_cast<size_t>(batch.max_blocks);
    table_ = DeviceArray<int32_t>(std::vector<int32_t>(batch.block_table, batch.block_table + slots));
    lengths_ = DeviceArray<int32_t>(world.lengths());
    first_tokens_ = DeviceArray<int32_t>(std::vector<int32_t>(world.lengths().size(), 0));
    queries_ = DeviceArray<cuda::Bf16>(query_count());
    workspace_ = DeviceArray<unsigned char>(executable.workspace_bytes(batch.requests, max_blocks_));
    workspace_.poison();
    max_selected_ = executable.max_selected(max_blocks_);
    const size_t rows = static_cast<size_t>(batch.requests * world.kv_heads());
    blocks_ = DeviceArray<int32_t>(rows * static_cast<size_t>(max_selected_));
    counts_ = DeviceArray<int32_t>(rows);
    for (size_t i = 2; i < memory_.size(); ++i) { fields_.push_back(memory_[i].data()); }
    upload_step();
  }

  CudaLayerCache cache() const {
    const vflow::Geometry& geometry = policy_.program.geometry;
    cuda::KvPool kv;
    kv.k = memory_[0].data();
    kv.v = memory_[1].data();
    kv.num_kv_heads = world_.kv_heads();
    kv.block = geometry.block_size;
    kv.head_dim = geometry.head_dim;
    return {kv, fields_.data()};
  }
  CudaBatch batch() const {
    CudaBatch batch;
    batch.num_requests = static_cast<int>(world_.lengths().size());
    batch.num_q_heads = world_.kv_heads() * policy_.program.geometry.group;
    batch.q = queries_.data();
    batch.table = {table_.data(), lengths_.data(), max_blocks_};
    batch.workspace = workspace_.data();
    return batch;
  }
  CudaSelection selection() const { return {blocks_.data(), counts_.data(), max_selected_}; }
  const int32_t* first_tokens() const { return first_tokens_.data(); }
  int max_blocks() const { return max_blocks_; }

  // What a step brings: the newest tokens, lengths and queries.
  void upload_step() {
    memory_[0].write(world_.memory()[0]);
    memory_[1].write(world_.memory()[1]);
    lengths_.write(world_.lengths());
    const float* q = world_.batch().q;
    std::vector<cuda::Bf16> queries(query_count());
    for (size_t i = 0; i < queries.size(); ++i) {
      const cpu::Bf16 bits = cpu::float_to_bf16(q[i]);
      std::memcpy(static_cast<void*>(&queries[i]), &bits, sizeof(bits));
    }
    queries_.write(queries);
    blocks_.poison();
    counts_.poison();
  }

  std::vector<std::vector<int32_t>> chosen() const {
    const std::vector<int32_t> blocks = blocks_.read();
    std::vector<std::vector<int32_t>> rows;
    for (const int32_t count : counts_.read()) {
      EXPECT_GE(count, 0);
      EXPECT_LE(count, max_selected_);
      const auto first = blocks.begin() + static_cast<int64_t>(rows.size()) * max_selected_;
      rows.emplace_back(first, first + std::clamp(count, 0, max_selected_));
    }
    return rows;
  }
  std::vector<int32_t> raw_blocks() const { return blocks_.read(); }

  // Elements of the policy's fields that differ as numbers from the host's.
  int64_t differing_elements() const {
    int64_t differing = 0;
    for (size_t i = 2; i < memory_.size(); ++i) {
      const std::vector<std::byte> device = memory_[i].read();
      const std::vector<std::byte>& host = world_.memory()[i];
      const auto size = static_cast<size_t>(vflow::dtype_bytes(world_.own_dtype()));
      for (size_t at = 0; at < host.size(); at += size) {
        differing += same(host.data() + at, device.data() + at, size) ? 0 : 1;
      }
    }
    return differing;
  }

 private:
  static float number(const std::byte* bytes, size_t size) {
    float x = 0;
    if (size == sizeof(x)) {
      std::memcpy(&x, bytes, sizeof(x));
      return x;
    }
    cpu::Bf16 bits = 0;
    std::memcpy(&bits, bytes, sizeof(bits));
    return cpu::bf16_to_float(bits);
  }
  static bool same(const std::byte* a, const std::byte* b, size_t size) {
    const float x = number(a, size);
    const float y = number(b, size);
    return x == y || (x != x && y != y);
  }
  size_t query_count() const {
    const vflow::Geometry& geometry = policy_.program.geometry;
    return world_.lengths().size() * static_cast<size_t>(world_.kv_heads() * geometry.group * geometry.head_dim);
  }

  const vflow::Policy& policy_;
  RandomBatch& world_;
  std::vector<DeviceArray<std::byte>> memory_;
  std::vector<void*> fields_;
  DeviceArray<int32_t> table_, lengths_, first_tokens_, blocks_, counts_;
  DeviceArray<cuda::Bf16> queries_;
  DeviceArray<unsigned char> workspace_;
  int max_blocks_ = 0;
  int max_selected_ = 0;
};

std::vector<std::vector<int32_t>> chosen(const Selection& selection) {
  std::vector<std::vector<int32_t>> rows;
  for (const int32_t count : selection.counts) {
    const auto first = selection.blocks.begin() + static_cast<int64_t>(rows.size()) * selection.stride;
    rows.emplace_back(first, first + count);
  }
  return rows;
}

std::string difference(const std::vector<std::vector<int32_t>>& host, const std::vector<std::vector<int32_t>>& device) {
  for (size_t row = 0; row < host.size(); ++row) {
    if (host[row] != device[row]) {
      std::string text = "row " + std::to_string(row) + "\n cpu ";
      for (const int32_t block : host[row]) { text += " " + std::to_string(block); }
      text += "\n cuda";
      for (const int32_t block : device[row]) { text += " " + std::to_string(block); }
      return text;
    }
  }
  return "";
}

struct Compared {
  int rows = 0;
  int policies = 0;
};

// Runs `steps` decode steps of a batch on both backends; the device's from one captured graph. False on a difference.
bool compare(const vflow::Policy& policy, const vflow::ModelGeometry& model, InputKind kind, Lengths lengths, int steps,
             uint64_t seed, Compared& compared) {
  const auto host = compile_cpu(policy);
  const auto device = compile_cuda(policy, model, {});
  if (!host.ok() || !device.ok()) {
    ADD_FAILURE() << (host.ok() ? device.error().message : host.error().message);
    return false;
  }
  const int kv_heads = policy.program.dialect == vflow::Dialect::kMla ? 1 : model.num_kv_heads;
  RandomBatch world(policy, kind, kv_heads, std::move(lengths.tokens), steps, seed);
  DeviceBatch mirror(policy, world, **device);
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  EXPECT_EQ((*device)->update_range(mirror.cache(), mirror.batch(), mirror.first_tokens(), mirror.max_blocks(), stream),
            cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  CudaBatch batch = mirror.batch();
  batch.completes_blocks = true;
  EXPECT_EQ((*device)->select(mirror.cache(), batch, mirror.selection(), stream), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
  (*host)->update(world.cache(), world.full_pages());
  bool good = !::testing::Test::HasFailure();
  for (int step = 0; step < steps && good; ++step) {
    if (step > 0) {
      (*host)->update(world.cache(), world.grow());
      world.draw_queries();
      mirror.upload_step();
    }
    Selection selection;
    (*host)->choose(world.cache(), world.batch(), selection);
    EXPECT_EQ(cudaGraphLaunch(replay, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    const std::string wrong = difference(chosen(selection), mirror.chosen());
    const int64_t differing = mirror.differing_elements();
    good = wrong.empty() && differing == 0 && !::testing::Test::HasFailure();
    EXPECT_EQ(wrong, "") << "step " << step;
    EXPECT_EQ(differing, 0) << "field elements, step " << step;
    compared.rows += static_cast<int>(selection.counts.size());
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  ++compared.policies;
  if (!good) { ADD_FAILURE() << (*device)->source(); }
  return good;
}

constexpr InputKind kKinds[] = {InputKind::kNormal, InputKind::kAllEqual, InputKind::kHuge, InputKind::kTiny,
                                InputKind::kNegative};

// 25 random policies a case, so that shards can share the thousand.
class CudaRandomPolicies : public CudaPolicy, public ::testing::WithParamInterface<int> {};
class CudaRandomLatentPolicies : public CudaPolicy, public ::testing::WithParamInterface<int> {};

// Policies of these numbers. False on a difference.
bool compare_random(int i, Compared& compared) {
  SCOPED_TRACE(i);
  const RandomPolicy one = random_policy(i);
  Rng rng(one.key);
  Lengths lengths = draw_lengths(one.policy, 4, 600, rng);
  const InputKind kind = i % 3 == 0 ? kKinds[static_cast<size_t>(i / 3) % std::size(kKinds)] : InputKind::kNormal;
  return compare(one.policy, one.model, kind, std::move(lengths), 3, rng.next(), compared);
}

TEST_P(CudaRandomPolicies, ChooseThePagesOfTheCpu) {
  Compared compared;
  for (int i = 25 * GetParam(); i < 25 * GetParam() + 25; ++i) {
    if (!compare_random(i, compared)) { return; }
  }
  EXPECT_EQ(compared.policies, 25);
  EXPECT_GE(compared.rows, 25 * 4 * 3);
}
INSTANTIATE_TEST_SUITE_P(Thousand, CudaRandomPolicies, ::testing::Range(0, 40));

// Every fifth random policy is one on latents: a thousand of these, of which the first two hundred are among those
// above. Their rows are one a request.
TEST_P(CudaRandomLatentPolicies, ChooseThePagesOfTheCpu) {
  Compared compared;
  for (int i = 25 * GetParam(); i < 25 * GetParam() + 25; ++i) {
    ASSERT_EQ(random_policy(5 * i + 4).policy.program.dialect, vflow::Dialect::kMla);
    if (!compare_random(5 * i + 4, compared)) { return; }
  }
  EXPECT_EQ(compared.policies, 25);
  EXPECT_GE(compared.rows, 25 * 4 * 3);
}
INSTANTIATE_TEST_SUITE_P(Thousand, CudaRandomLatentPolicies, ::testing::Range(0, 40));

TEST_F(CudaPolicy, TheModulesOfTheRepositoryChooseThePagesOfTheCpu) {
  Compared compared;
  for (const std::filesystem::path& module : module_files()) {
    SCOPED_TRACE(module.filename());
    const vflow::ModelGeometry model = model_of(module);
    const vflow::Policy policy = policy_from(module, model);
    Rng rng(7);
    for (const InputKind kind : kKinds) {
      compare(policy, model, kind, draw_lengths(policy, 5, 600, rng), 3, rng.next(), compared);
    }
  }
  EXPECT_GE(compared.policies, 12 * 5);
}

TEST_F(CudaPolicy, LongRowsAndManyRowsChooseThePagesOfTheCpu) {
  const std::filesystem::path module = kSource / "examples/policies/block_topk.py";
  vflow::ModelGeometry model = model_of(module);
  const vflow::Policy policy = policy_from(module, model);
  Compared compared;
  Rng rng(8);
  for (const auto& [requests, tokens] : {std::pair{1, 40000}, std::pair{3, 9000}, std::pair{70, 2500}}) {
    Lengths lengths;
    for (int r = 0; r < requests; ++r) { lengths.tokens.push_back(tokens - rng.between(0, tokens / 4)); }
    compare(policy, model, InputKind::kNormal, std::move(lengths), 2, rng.next(), compared);
  }
  EXPECT_EQ(compared.policies, 3);
}

TEST_F(CudaPolicy, BudgetsByRuleAreTheHosts) {
  const std::filesystem::path module = kSource / "examples/policies/block_topk.py";
  const vflow::ModelGeometry model = model_of(module);
  vflow::Policy policy = policy_from(module, model);
  Compared compared;
  for (const char* rule : {"const float n = cached_block_len; return max(4, int(sqrt(n) * 2.5f) + block_reserved_bos);",
                           "if (cached_block_len < 40) { return 7; } else { return cached_block_len / 5 % 19 + 3; }",
                           "return cached_block_len > 60 && topk_val > 2 ? int(cached_block_len * 0.1f) : 1;"}) {
    SCOPED_TRACE(rule);
    std::vector<vflow::Diagnostic> diagnostics;
    policy.config.schedule = vflow::Schedule::compile(rule, "rule", diagnostics);
    ASSERT_TRUE(diagnostics.empty()) << vflow::render(diagnostics);
    Lengths lengths;
    for (int tokens = 0; tokens < 3000; tokens += 61) { lengths.tokens.push_back(tokens); }
    compare(policy, model, InputKind::kNormal, std::move(lengths), 2, 3, compared);
  }
  EXPECT_EQ(compared.policies, 3);
}

TEST_F(CudaPolicy, RunsAreBitwiseTheSameAndIdleRequestsChooseNothing) {
  const std::filesystem::path module = kSource / "examples/policies/quest.py";
  const vflow::ModelGeometry model = model_of(module);
  const vflow::Policy policy = policy_from(module, model);
  const auto device = compile_cuda(policy, model, {});
  ASSERT_TRUE(device.ok()) << device.error().message;
  RandomBatch world(policy, InputKind::kAllEqual, model.num_kv_heads, {3000, 0, 2000, 1}, 1, 5);
  DeviceBatch mirror(policy, world, **device);
  ASSERT_EQ(
      (*device)->update_range(mirror.cache(), mirror.batch(), mirror.first_tokens(), mirror.max_blocks(), nullptr),
      cudaSuccess);
  CudaBatch batch = mirror.batch();
  const DeviceArray<std::uint8_t> active(std::vector<std::uint8_t>{1, 1, 0, 1});
  batch.active = active.data();
  std::vector<int32_t> first;
  for (int run = 0; run < 20; ++run) {
    mirror.upload_step();
    ASSERT_EQ((*device)->select(mirror.cache(), batch, mirror.selection(), nullptr), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    const std::vector<int32_t> blocks = mirror.raw_blocks();
    if (run == 0) { first = blocks; }
    ASSERT_EQ(blocks, first);
  }
  const std::vector<std::vector<int32_t>> rows = mirror.chosen();
  const int budget = vflow::selected_blocks(policy.config, (3000 + 15) / 16);
  EXPECT_EQ(rows[0].size(), static_cast<size_t>(budget));
  EXPECT_EQ(mirror.selection().max_selected, budget);
  const auto heads = static_cast<size_t>(model.num_kv_heads);
  EXPECT_TRUE(rows[1 * heads].empty());
  EXPECT_TRUE(rows[2 * heads].empty());
  EXPECT_EQ(rows[3 * heads], std::vector<int32_t>{0});
}

}  // namespace
}  // namespace vortex::compile
