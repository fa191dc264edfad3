// The measured recall beside a float64 oracle.
#include "kernels/cuda/recall.h"

#include <functional>

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Case {
  KvType type = KvType::bf16;
  int group = 2;
  int dim = 128;
  int block = 16;
  int heads = 2;
  int reserved_first = 1;
  int reserved_last = 2;
  std::vector<std::int32_t> lengths = {1, 16, 49, 0, 333, 1024, 1601};
};

struct Shares {
  double mass = 0, mass_chosen = 0, best = 0, best_chosen = 0;
};

class Problem {
 public:
  Problem(const Case& c, Random& random)
      : c_(c),
        table_(c.lengths, c.block, random),
        pool_(c.type, table_.num_pages, c.heads, c.block, c.dim),
        q_(random_bf16(c.lengths.size() * static_cast<std::size_t>(c.heads * c.group * c.dim), random)) {
    fill_tokens(pool_, table_, random);
    const std::size_t rows = c.lengths.size() * static_cast<std::size_t>(c.heads);
    selected_.assign(rows * static_cast<std::size_t>(table_.max_blocks), kGarbage);
    counts_.assign(rows, 0);
    for (std::size_t row = 0; row < rows; ++row) {
      const int blocks = num_blocks(row);
      for (int i = 0; i < blocks; ++i) {
        const bool reserved = i < c.reserved_first || i >= blocks - c.reserved_last;
        if (reserved || random() % 4 == 0) { selected(row)[counts_[row]++] = i; }
      }
    }
  }

  // Two looks of one launch each.
  void expect_shares() {
    const DeviceArray<std::uint8_t> k(pool_.bytes(pool_.k));
    const DeviceArray<std::int32_t> pages(table_.pages), lengths(table_.lengths), selected(selected_), counts(counts_);
    const DeviceArray<Bf16> q(q_);
    const std::size_t rows = counts_.size();
    DeviceArray<float2> workspace(rows * static_cast<std::size_t>(c_.group * table_.max_blocks));
    workspace.poison();
    DeviceArray<RecallSums> sums(std::vector<RecallSums>(rows, RecallSums{}));
    MeasureRecall a;
    a.q = q.data();
    a.kv = {k.data(), nullptr, c_.type, c_.heads, c_.block, c_.dim, 1.0F, 1.0F};
    a.table = {pages.data(), lengths.data(), table_.max_blocks};
    a.selection = {selected.data(), counts.data(), table_.max_blocks};
    a.num_requests = static_cast<int>(c_.lengths.size());
    a.num_q_heads = c_.heads * c_.group;
    a.scale = 1.0F / std::sqrt(static_cast<float>(c_.dim));
    a.reserved_first = c_.reserved_first;
    a.reserved_last = c_.reserved_last;
    a.workspace = workspace.data();
    a.sums = sums.data();
    ASSERT_EQ(measure_recall(a, nullptr), cudaSuccess);
    ASSERT_EQ(measure_recall(a, nullptr), cudaSuccess);
    finish();
    const std::vector<RecallSums> device = sums.read();
    for (std::size_t row = 0; row < rows; ++row) {
      SCOPED_TRACE(row);
      if (num_blocks(row) == 0) {
        EXPECT_EQ(device[row].looks, 0);
        continue;
      }
      const Shares expected = shares(row);
      EXPECT_EQ(device[row].looks, 2);
      EXPECT_NEAR(device[row].mass / 2, expected.mass, 2e-4);
      EXPECT_NEAR(device[row].mass_chosen / 2, expected.mass_chosen, 2e-4);
      // Of pages that weigh nearly the same one may be taken for the other.
      const double page = 1.01 / std::max(1, counts_[row]);
      EXPECT_NEAR(device[row].best / 2, expected.best, page);
      const int competing_attended = std::max(1, counts_[row] - c_.reserved_first - c_.reserved_last);
      EXPECT_NEAR(device[row].best_chosen / 2, expected.best_chosen, 1.01 / competing_attended);
    }
  }

 private:
  std::int32_t* selected(std::size_t row) { return &selected_[row * static_cast<std::size_t>(table_.max_blocks)]; }
  int num_blocks(std::size_t row) const {
    return (c_.lengths[row / static_cast<std::size_t>(c_.heads)] + c_.block - 1) / c_.block;
  }

  // Softmax mass of each block for one query head.
  std::vector<double> masses(std::size_t row, int member) const {
    const std::size_t b = row / static_cast<std::size_t>(c_.heads);
    const int h = static_cast<int>(row % static_cast<std::size_t>(c_.heads));
    const Bf16* q = &q_[(row * static_cast<std::size_t>(c_.group) + static_cast<std::size_t>(member)) *
                        static_cast<std::size_t>(c_.dim)];
    std::vector<double> scores;
    for (int t = 0; t < c_.lengths[b]; ++t) {
      const std::size_t at = pool_.at(table_.slot(b, t / c_.block), h, t % c_.block, 0);
      double dot = 0;
      for (std::size_t d = 0; d < static_cast<std::size_t>(c_.dim); ++d) {
        dot += value(q[d]) * static_cast<double>(decode(pool_.k[at + d], c_.type));
      }
      scores.push_back(dot / std::sqrt(static_cast<double>(c_.dim)));
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    std::vector<double> mass(static_cast<std::size_t>(num_blocks(row)), 0);
    double total = 0;
    for (std::size_t t = 0; t < scores.size(); ++t) {
      mass[t / static_cast<std::size_t>(c_.block)] += std::exp(scores[t] - top);
      total += std::exp(scores[t] - top);
    }
    for (double& m : mass) { m /= total; }
    return mass;
  }

  Shares shares(std::size_t row) {
    const int blocks = num_blocks(row);
    std::vector<bool> attended(static_cast<std::size_t>(blocks), false);
    for (int i = 0; i < counts_[row]; ++i) { attended[static_cast<std::size_t>(selected(row)[i])] = true; }
    const int first = std::min(c_.reserved_first, blocks);
    const int last = std::max(first, blocks - c_.reserved_last);
    Shares out;
    std::vector<double> of_group(static_cast<std::size_t>(blocks), 0);
    for (int member = 0; member < c_.group; ++member) {
      const std::vector<double> mass = masses(row, member);
      out.mass += share(mass, attended, 0, blocks) / c_.group;
      out.mass_chosen += share(mass, attended, first, last) / c_.group;
      for (std::size_t i = 0; i < mass.size(); ++i) { of_group[i] += mass[i]; }
    }
    out.best = best(of_group, attended, 0, blocks);
    out.best_chosen = best(of_group, attended, first, last);
    return out;
  }

  static double share(const std::vector<double>& mass, const std::vector<bool>& attended, int first, int last) {
    double all = 0;
    double on_attended = 0;
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      all += mass[i];
      on_attended += attended[i] ? mass[i] : 0;
    }
    return first < last ? on_attended / all : 1.0;
  }

  static double best(const std::vector<double>& mass, const std::vector<bool>& attended, int first, int last) {
    std::vector<int> order;
    int k = 0;
    for (int i = first; i < last; ++i) {
      order.push_back(i);
      k += attended[static_cast<std::size_t>(i)] ? 1 : 0;
    }
    if (k == 0) { return 1.0; }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return mass[static_cast<std::size_t>(a)] > mass[static_cast<std::size_t>(b)];
    });
    int found = 0;
    for (int i = 0; i < k; ++i) {
      found += attended[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] ? 1 : 0;
    }
    return static_cast<double>(found) / k;
  }

  Case c_;
  HostTable table_;
  HostPool pool_;
  std::vector<Bf16> q_;
  std::vector<std::int32_t> selected_, counts_;
};

using RecallTest = DeviceTest;

TEST_F(RecallTest, AgreesWithFloat64OnLatents) {
  Random random(2);
  for (const int dim : {576, 288, 512, 20}) {
    for (const int group : {3, 20}) {
      SCOPED_TRACE(testing::Message() << "dim " << dim << " group " << group);
      Case c;
      c.dim = dim;
      c.heads = 1;
      c.group = group;
      c.block = dim == 288 ? 64 : 16;
      c.lengths = {700, 0, 33};
      Problem(c, random).expect_shares();
    }
  }
}

TEST_F(RecallTest, AgreesWithFloat64OnEveryShape) {
  Random random(1);
  for (const KvType type : kTypes) {
    for (const int dim : {64, 128}) {
      for (const int group : kGroups) {
        SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(type) << " dim " << dim << " group " << group);
        Case c;
        c.type = type;
        c.dim = dim;
        c.group = group;
        c.block = group % 3 == 0 ? 48 : 16;
        if (group > 2) { c.lengths = {700, 0, 33}; }
        Problem(c, random).expect_shares();
      }
    }
  }
}

TEST_F(RecallTest, ReservedPagesMayBeAllOrNone) {
  Random random(2);
  for (const auto& [first, last] : {std::pair{0, 1}, {0, 3}, {4, 4}, {100, 100}}) {
    SCOPED_TRACE(testing::Message() << first << " and " << last);
    Case c;
    c.reserved_first = first;
    c.reserved_last = last;
    Problem(c, random).expect_shares();
  }
}

TEST_F(RecallTest, LongRows) {
  Random random(3);
  Case c;
  c.heads = 1;
  c.lengths = {40007};
  Problem(c, random).expect_shares();
}

TEST_F(RecallTest, RefusesWhatItCannotDo) {
  MeasureRecall a;
  EXPECT_EQ(measure_recall(a, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
