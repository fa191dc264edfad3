// Prompts on the device: however they are cut, and whichever kernel attends.
#include <array>
#include <numeric>

#include "core/engine/stepper.h"
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/engine/cuda/unwritten.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::engine {
namespace {

constexpr int kPromptContext = 3072;
constexpr int kPromptVocab = 1024;

class CudaPrompts : public CudaEngineTest {
 protected:
  static CudaOptions cuda_options(bool plain, int chunk = 0) {
    CudaOptions cuda;
    cuda.plain_prompts = plain;
    cuda.prompt_chunk = chunk;
    return cuda;
  }
};

std::vector<Request> prompts_of(std::initializer_list<int> lengths) {
  std::vector<Request> requests;
  for (const int length : lengths) {
    Request request;
    request.prompt = random_tokens(length, static_cast<uint64_t>(length));
    request.max_new_tokens = 24;
    request.ignore_eos = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

TEST_F(CudaPrompts, ChunksChangeNoToken) {
  const std::vector<Request> requests = prompts_of({1, 17, 300, 2500});
  const std::vector<int32_t> continuation = random_tokens(8, 5);
  const vortex::testing::TempFolder products;  // tuned once
  for (const bool plain : {false, true}) {
    SCOPED_TRACE(plain ? "plain kernel" : "quick kernel");
    std::vector<std::unique_ptr<Engine>> engines;
    constexpr std::array kChunks = {0, 16, 256, 512, 2048};  // the whole prompt first
    for (const int chunk : kChunks) {
      CudaOptions cuda = cuda_options(plain, chunk);
      cuda.product_cache = products.path();
      cuda.build = "test";
      engines.push_back(chain_engine(options_of(4, kPromptContext), cuda));
      ASSERT_NE(engines.back(), nullptr);
    }
    for (const bool sparse : {false, true}) {
      std::optional<vflow::Policy> policy;
      if (sparse) { policy = load_policy("block_topk", budget(8, {0}), kPromptContext); }
      std::vector<std::vector<int32_t>> tokens;
      std::vector<float> log_probs;
      for (size_t i = 0; i < engines.size(); ++i) {
        SCOPED_TRACE(::testing::Message() << "chunks of " << kChunks[i] << (sparse ? ", block top-k" : ", dense"));
        ASSERT_TRUE(engines[i]->set_policy(policy).ok());
        const auto got = tokens_of(*engines[i], requests);
        const auto said = engines[i]->teacher_force(requests[3], continuation, {}, nullptr).value();
        if (i == 0) {
          tokens = got;
          log_probs = said;
        }
        EXPECT_EQ(got, tokens);
        EXPECT_TRUE(said == log_probs) << "distance " << distance(log_probs, said, kPromptVocab).mean;
      }
    }
  }
}

// A prompt that is read a page or two at a time while another request decodes leaves what it leaves alone.
TEST_F(CudaPrompts, PiecesBetweenStepsChangeNoBit) {
  const std::vector<int32_t> prompt = random_tokens(1000, 1);
  const auto make = [] {
    return Runner::make(model::load_model(kChainModel).value(), options_of(4, kPromptContext), {});
  };
  const auto begin = [](Runner& runner, int slot) {
    runner.slots().host().remaining[slot] = 1000;
    runner.slots().host().ignores_stops[slot] = 1;
  };
  auto whole = make();
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  begin(**whole, 0);
  ASSERT_TRUE((*whole)->prefill(0, prompt).ok());
  auto cut = make();
  ASSERT_TRUE(cut.ok()) << cut.error().message;
  begin(**cut, 0);
  ASSERT_TRUE((*cut)->prefill(0, random_tokens(50, 2)).ok());
  ASSERT_TRUE((*cut)->prepare(2).ok());
  begin(**cut, 1);
  ASSERT_TRUE((*cut)->begin_prompt(1, prompt).ok());
  int left = 1000;
  for (int piece = 16; left > 0; piece += 16) {
    const auto read = (*cut)->read_prompt(piece);
    ASSERT_TRUE(read.ok()) << read.error().message;
    ASSERT_EQ(*read, std::max(0, left - piece));
    left = *read;
    ASSERT_TRUE((*cut)->slots().upload((*cut)->stream()).ok());
    if (left > 0) { ASSERT_TRUE((*cut)->replay(2).ok()); }
    ASSERT_TRUE((*cut)->slots().download((*cut)->stream()).ok());
  }
  EXPECT_EQ((*cut)->slots().host().lengths[1], 1000);
  EXPECT_GT((*cut)->slots().host().lengths[0], 50) << "nobody decoded meanwhile";
  EXPECT_EQ((*cut)->slots().host().next_tokens[1], (*whole)->slots().host().next_tokens[0]);
  for (int layer = 0; layer < (*whole)->model().source.config.num_layers; ++layer) {
    std::vector<cpu::Bf16> expected;
    std::vector<cpu::Bf16> actual;
    ASSERT_TRUE((*whole)->read_kv(layer, 0, 1000, expected).ok());
    ASSERT_TRUE((*cut)->read_kv(layer, 1, 1000, actual).ok());
    EXPECT_EQ(actual, expected) << "layer " << layer;
  }
}

// What a runner holds of slots [first, first + count), and what they decode next.
struct Held {
  std::vector<std::vector<cpu::Bf16>> kv;  // [slot][layer] one after the other
  std::vector<std::vector<int32_t>> tokens;

  static Held of(Runner& runner, int first, int count) {
    Held held{std::vector<std::vector<cpu::Bf16>>(static_cast<size_t>(count)),
              std::vector<std::vector<int32_t>>(static_cast<size_t>(count))};
    const auto note = [&] {
      for (int i = 0; i < count; ++i) {
        held.tokens[static_cast<size_t>(i)].push_back(runner.slots().host().next_tokens[first + i]);
      }
    };
    note();
    for (int i = 0; i < count; ++i) {
      for (int layer = 0; layer < runner.model().source.config.num_layers; ++layer) {
        std::vector<cpu::Bf16> layer_kv;
        EXPECT_TRUE(runner.read_kv(layer, first + i, runner.slots().host().lengths[first + i], layer_kv).ok());
        auto& all = held.kv[static_cast<size_t>(i)];
        all.insert(all.end(), layer_kv.begin(), layer_kv.end());
      }
    }
    const int capacity = runner.capacity_for(first + count);
    EXPECT_TRUE(runner.prepare(capacity).ok());
    for (int step = 0; step < 20; ++step) {
      EXPECT_TRUE(runner.slots().upload(runner.stream()).ok());
      EXPECT_TRUE(runner.replay(capacity).ok());
      EXPECT_TRUE(runner.fetch().ok());
      note();
    }
    return held;
  }
};

// Prompts that go through the layers together leave what each leaves alone: K and V, logits, summaries (by what the
// policy chooses afterwards) and the tokens that are sampled, beside a request that decodes already.
TEST_F(CudaPrompts, PromptsReadTogetherChangeNoBit) {
  const std::vector<int> lengths = {1, 300, 16, 257, 100, 2, 511, 48};
  std::vector<Request> requests;
  for (const int length : lengths) {
    Request request;
    request.prompt = random_tokens(length, static_cast<uint64_t>(length));
    request.seed = static_cast<uint64_t>(length);
    request.max_new_tokens = 1000;
    request.ignore_eos = true;
    if (length % 2 == 0) { request.sampling = {1.0, 0.9, 0}; }
    requests.push_back(std::move(request));
  }
  const auto count = static_cast<int>(requests.size());
  for (const char* name : {"", "block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const auto make = [&] {
      auto runner = Runner::make(model::load_model(kChainModel).value(), options_of(count + 1, kPromptContext), {});
      EXPECT_TRUE(runner.ok()) << runner.error().message;
      if (*name != 0) { EXPECT_TRUE((*runner)->set_policy(load_policy(name, budget(4, {0}), kPromptContext)).ok()); }
      return std::move(*runner);
    };
    const auto company = [&](Runner& runner) {
      Request resident;
      resident.max_new_tokens = 1000;
      resident.ignore_eos = true;
      runner.slots().admit(0, resident);
      EXPECT_TRUE(runner.prefill(0, random_tokens(500, 77)).ok());
    };
    const auto alone = make();
    std::vector<std::vector<float>> logits;
    company(*alone);
    for (int i = 0; i < count; ++i) {
      const Request& request = requests[static_cast<size_t>(i)];
      alone->slots().admit(i + 1, request);
      ASSERT_TRUE(alone->prefill(i + 1, request.prompt).ok());
      logits.emplace_back(kPromptVocab);
      ASSERT_TRUE(alone->read_logits(0, logits.back().data()).ok());
    }
    const auto packed = make();
    company(*packed);
    ASSERT_EQ(packed->most_together(), count);
    std::vector<std::span<const int32_t>> prompts;
    for (int i = 0; i < count; ++i) {
      packed->slots().admit(i + 1, requests[static_cast<size_t>(i)]);
      prompts.emplace_back(requests[static_cast<size_t>(i)].prompt);
    }
    ASSERT_TRUE(packed->prepare_prompt(std::accumulate(lengths.begin(), lengths.end(), 0)).ok());
    const Status read = packed->read_together(1, prompts);
    ASSERT_TRUE(read.ok()) << read.error().message;
    for (int i = 0; i < count; ++i) {
      SCOPED_TRACE(lengths[static_cast<size_t>(i)]);
      EXPECT_EQ(packed->slots().host().lengths[i + 1], lengths[static_cast<size_t>(i)]);
      std::vector<float> row(kPromptVocab);
      ASSERT_TRUE(packed->read_logits(i, row.data()).ok());
      EXPECT_TRUE(row == logits[static_cast<size_t>(i)]) << "other logits";
    }
    const Held expected = Held::of(*alone, 0, count + 1);
    const Held actual = Held::of(*packed, 0, count + 1);
    for (size_t i = 0; i < expected.kv.size(); ++i) {
      EXPECT_TRUE(actual.kv[i] == expected.kv[i]) << "other K or V in slot " << i;
      EXPECT_EQ(actual.tokens[i], expected.tokens[i]) << "slot " << i;
    }
    std::vector<std::span<const int32_t>> many(static_cast<size_t>(packed->most_together()) + 1, prompts[0]);
    EXPECT_FALSE(packed->read_together(0, many).ok()) << "more than go together";
  }
}

// Both round the softmax's weights to bf16 and differ in the order of sums and in what weights are relative to.
TEST_F(CudaPrompts, TheQuickKernelIsNearThePlainOne) {
  const auto plain = chain_engine(options_of(1, kPromptContext), cuda_options(true));
  const auto quick = chain_engine(options_of(1, kPromptContext), cuda_options(false));
  ASSERT_NE(quick, nullptr);
  for (const int length : {1, 64, 129, 2900}) {
    SCOPED_TRACE(length);
    const std::vector<Request> requests = prompts_of({length});
    const std::vector<int32_t> continuation = random_tokens(40, 3);
    const auto expected = plain->teacher_force(requests[0], continuation, {}, nullptr).value();
    const auto actual = quick->teacher_force(requests[0], continuation, {}, nullptr);
    ASSERT_TRUE(actual.ok()) << actual.error().message;
    const Distance d = distance(expected, *actual, kPromptVocab);
    EXPECT_FALSE(std::isnan(d.worst));
    EXPECT_LT(d.mean, 2e-3);
  }
}

// Heads of 128, groups of 1, 2 and 3, beside the CPU engine.
TEST_F(CudaPrompts, WideHeadsAreTheCpuEnginesToRounding) {
  for (const int group : {1, 2, 3}) {
    SCOPED_TRACE(group);
    vortex::testing::TempFolder folder;
    vortex::testing::TinyModel shape;
    shape.hidden = 192;
    shape.inner = 256;
    shape.vocab = kPromptVocab;
    shape.layers = 3;
    shape.q_heads = group * 2;
    shape.kv_heads = 2;
    shape.head_dim = 128;
    vortex::testing::write_checkpoint(folder.path(), shape);
    const auto cpu = make_cpu_engine(model::load_model(folder.path()).value(), options_of(1, 1280)).value();
    const auto cuda = make_cuda_engine(model::load_model(folder.path()).value(), options_of(1, 1280));
    ASSERT_TRUE(cuda.ok()) << cuda.error().message;
    for (const int length : {5, 130, 1100}) {
      SCOPED_TRACE(length);
      const std::vector<Request> requests = prompts_of({length});
      const std::vector<int32_t> continuation = random_tokens(40, 3);
      const auto expected = cpu->teacher_force(requests[0], continuation, {}, nullptr).value();
      const auto actual = (*cuda)->teacher_force(requests[0], continuation, {}, nullptr);
      ASSERT_TRUE(actual.ok()) << actual.error().message;
      const Distance d = distance(expected, *actual, kPromptVocab);
      EXPECT_FALSE(std::isnan(d.worst));
      EXPECT_LT(d.mean, 0.02);
      EXPECT_LT(d.gap, 0.3) << "another token, and no near tie";
    }
  }
}

}  // namespace
}  // namespace vortex::engine
