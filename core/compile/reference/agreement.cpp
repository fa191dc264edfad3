#include "core/compile/reference/agreement.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/compile/random_batch.h"
#include "core/compile/reference/oracle.h"
#include "core/compile/stages.h"
#include "kernels/cpu/bf16.h"

namespace vortex::compile {

namespace {

constexpr size_t kMostFailures = 8;
constexpr InputKind kKinds[] = {InputKind::kNormal, InputKind::kAllEqual, InputKind::kHuge, InputKind::kTiny,
                                InputKind::kNegative};
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// What the oracle says a page's score is, as an interval.
struct Interval {
  double low;
  double high;
  bool exact() const { return low == high; }
};

Interval interval(const OracleValue& scores, size_t page) {
  const double error = scores.error[page];
  const double value = scores.value[page];
  return std::isfinite(error) ? Interval{value - error, value + error} : Interval{-kUnbounded, kUnbounded};
}

// Does page a surely, or possibly, come before page b?
bool surely_before(const Interval& x, size_t a, const Interval& y, size_t b) {
  return x.low > y.high || (x.low == y.high && a < b);
}

struct Standing {
  bool must = false;  // chosen in every consistent ordering
  bool may = false;   // chosen in some
};

std::vector<Standing> standings(const OracleScores& list, size_t bos) {
  const size_t count = list.scores.value.size();
  std::vector<Standing> result(count);
  for (size_t p = bos; p < count; ++p) {
    const Interval own = interval(list.scores, p);
    int surely_better = 0;
    int surely_worse = 0;
    for (size_t q = bos; q < count; ++q) {
      if (q == p) { continue; }
      const Interval other = interval(list.scores, q);
      surely_better += surely_before(other, q, own, p) ? 1 : 0;
      surely_worse += surely_before(own, p, other, q) ? 1 : 0;
    }
    const int others = static_cast<int>(count - bos) - 1;
    result[p].may = surely_better < list.k;
    result[p].must = others - surely_worse < list.k;
  }
  return result;
}

class Comparison {
 public:
  Comparison(const vflow::Policy& policy, const Executable& executable, const AgreementOptions& options)
      : policy_(policy), executable_(executable), options_(options) {}

  Status run_case(InputKind kind, uint64_t key) {
    Rng rng(key);
    const int own = executable_.kv_heads() > 0 ? executable_.kv_heads() : options_.kv_heads;
    const int kv_heads = policy_.program.dialect == vflow::Dialect::kMla ? 1 : own;
    const Lengths lengths = draw_lengths(policy_, options_.requests, options_.most_blocks, rng);
    RandomBatch world(policy_, kind, kv_heads, lengths.tokens, options_.steps, rng.next());
    VORTEX_TRY(check_update(world, world.full_pages()));
    for (int step = 0; step < options_.steps; ++step) {
      if (step > 0) {
        VORTEX_TRY(check_update(world, world.grow()));
        world.draw_queries();
      }
      VORTEX_TRY(check_select(world));
    }
    return ok_status();
  }

  AgreementReport report;

 private:
  void fail(const std::string& what) {
    if (report.failures.size() < kMostFailures) { report.failures.push_back(options_.blame + ": " + what); }
  }

  Status check_update(RandomBatch& world, const std::vector<int32_t>& pages) {
    RandomBatch before = world;
    VORTEX_ASSIGN(const std::vector<OracleWrite> writes, oracle_update(policy_, before.cache(), before.pages(), pages));
    VORTEX_TRY(executable_.update_pages(world.cache(), pages));
    check_memory(world, before, writes, "forward_cache");
    VORTEX_TRY(executable_.update_pages(before.cache(), pages));
    check_same_memory(world, before, "forward_cache");
    return ok_status();
  }

  Status check_select(RandomBatch& world) {
    RandomBatch before = world;
    VORTEX_ASSIGN(const std::vector<OracleRow> rows,
                  oracle_select(policy_, before.cache(), before.pages(), before.batch()));
    Selection selection;
    std::vector<float> scores;
    VORTEX_TRY(executable_.select(world.cache(), world.batch(), selection, &scores));
    std::vector<OracleWrite> writes;
    for (size_t r = 0; r < rows.size(); ++r) {
      check_row(rows[r], r, selection, scores, world.batch().max_blocks);
      writes.insert(writes.end(), rows[r].writes.begin(), rows[r].writes.end());
    }
    check_memory(world, before, writes, "Save");
    Selection again;
    std::vector<float> scores_again;
    VORTEX_TRY(executable_.select(before.cache(), before.batch(), again, &scores_again));
    if (!same_bits(selection.blocks, again.blocks) || !same_bits(selection.counts, again.counts) ||
        !same_bits(scores, scores_again)) {
      fail("a second run chose other pages or gave other scores");
    }
    check_same_memory(world, before, "Save");
    return ok_status();
  }

  void check_same_memory(const RandomBatch& a, const RandomBatch& b, const std::string& who) {
    if (a.memory() != b.memory()) { fail("a second run of " + who + " stored other bits"); }
  }

  // Every field value is either written within its bound or untouched.
  void check_memory(const RandomBatch& after, const RandomBatch& before, const std::vector<OracleWrite>& writes,
                    const std::string& who) {
    for (size_t i = 0; i < after.memory().size(); ++i) {
      std::vector<std::byte> expected = before.memory()[i];
      for (const OracleWrite& write : writes) {
        if (static_cast<size_t>(write.field) + 2 == i) { check_write(after, write, expected, who); }
      }
      if (expected != after.memory()[i]) {
        fail(who + " changed memory that is not its own (" + (i < 2 ? "k or v" : "field " + std::to_string(i - 2)) +
             ")");
      }
    }
  }

  void check_write(const RandomBatch& after, const OracleWrite& write, std::vector<std::byte>& expected,
                   const std::string& who) {
    const vflow::Field& field = policy_.program.fields[static_cast<size_t>(write.field)];
    const std::vector<std::byte>& memory = after.memory()[static_cast<size_t>(write.field) + 2];
    const auto bytes = static_cast<size_t>(vflow::dtype_bytes(after.own_dtype()));
    const auto size = static_cast<size_t>(field.shape.size());
    for (size_t p = 0; p < write.pages.size(); ++p) {
      const auto place = static_cast<size_t>(write.pages[p]) * static_cast<size_t>(after.kv_heads()) +
                         static_cast<size_t>(write.kv_head);
      std::memcpy(expected.data() + place * size * bytes, memory.data() + place * size * bytes, size * bytes);
      for (size_t i = 0; i < size; ++i) {
        const double stored = read(memory.data() + (place * size + i) * bytes, after.own_dtype());
        const double error = write.content.error[p * size + i];
        if (!std::isfinite(error)) {
          ++report.field_values_unbounded;
          continue;
        }
        ++report.field_values_compared;
        if (!(std::abs(stored - write.content.value[p * size + i]) <= error)) {
          fail(who + " stored " + std::to_string(stored) + " to \"" + field.name + "\", the oracle " +
               std::to_string(write.content.value[p * size + i]) + " with a bound of " + std::to_string(error));
          return;
        }
      }
    }
  }

  static double read(const std::byte* at, vflow::Dtype dtype) { return stored_value(at, dtype); }

  void check_row(const OracleRow& row, size_t index, const Selection& selection, const std::vector<float>& scores,
                 int max_blocks) {
    const auto first = selection.blocks.begin() + static_cast<int64_t>(index) * selection.stride;
    const std::vector<int32_t> chosen(first, first + selection.counts[index]);
    if (row.everything_fits) {
      ++report.rows_fitting;
      if (chosen != row.chosen) { fail("a row whose pages all fit did not choose all of them in order"); }
      return;
    }
    ++report.rows_scored;
    report.same_choice += chosen == row.chosen ? 1 : 0;
    if (scores.empty()) {
      ++report.rows_unseen;
    } else {
      check_scores(row, scores.data() + index * static_cast<size_t>(max_blocks));
    }
    check_choice(row, chosen);
  }

  void check_scores(const OracleRow& row, const float* scores) {
    const OracleValue& expected = row.lists[0].scores;
    for (size_t p = static_cast<size_t>(policy_.config.reserved_bos); p < expected.value.size(); ++p) {
      if (!std::isfinite(expected.error[p])) {
        ++report.scores_unbounded;
        continue;
      }
      ++report.scores_compared;
      const double score = scores[p];
      report.scores_identical += score == expected.value[p] ? 1 : 0;
      if (!(std::abs(score - expected.value[p]) <= expected.error[p])) {
        fail("page " + std::to_string(p) + " of " + std::to_string(row.blocks) + " scored " + std::to_string(score) +
             ", the oracle " + std::to_string(expected.value[p]) + " with a bound of " +
             std::to_string(expected.error[p]));
        return;
      }
    }
  }

  void check_choice(const OracleRow& row, const std::vector<int32_t>& chosen) {
    if (!std::is_sorted(chosen.begin(), chosen.end(), std::less_equal<>()) || chosen.empty() || chosen.front() < 0 ||
        chosen.back() != row.blocks - 1) {
      fail("chosen pages are not ascending positions that end with the row's last page");
      return;
    }
    std::vector<bool> is_chosen(static_cast<size_t>(row.blocks), false);
    for (const int32_t p : chosen) { is_chosen[static_cast<size_t>(p)] = true; }
    std::vector<Standing> standing(static_cast<size_t>(row.blocks));
    for (const OracleScores& list : row.lists) {
      const std::vector<Standing> one = standings(list, static_cast<size_t>(policy_.config.reserved_bos));
      for (size_t p = 0; p < one.size(); ++p) {
        standing[p].must = standing[p].must || one[p].must;
        standing[p].may = standing[p].may || one[p].may;
      }
    }
    const double tolerance = row.lists[0].tolerance;
    check_standings(row, is_chosen, standing, tolerance);
    if (row.lists.size() == 1 && chosen.size() != row.chosen.size()) {
      fail("chose " + std::to_string(chosen.size()) + " pages instead of " + std::to_string(row.chosen.size()));
    }
  }

  void check_standings(const OracleRow& row, const std::vector<bool>& is_chosen, const std::vector<Standing>& standing,
                       double tolerance) {
    const int last_middle = row.blocks - policy_.config.reserved_eos;
    int could_be_best = 0;
    for (int p = 0; p < row.blocks; ++p) {
      const bool in = is_chosen[static_cast<size_t>(p)];
      if (p < policy_.config.reserved_bos || p >= last_middle) {
        if (in != std::binary_search(row.chosen.begin(), row.chosen.end(), p)) {
          fail("reserved page " + std::to_string(p) + " of " + std::to_string(row.blocks) + " was treated as a score");
        }
        continue;
      }
      const Standing& s = standing[static_cast<size_t>(p)];
      could_be_best += in && s.may ? 1 : 0;
      if (tolerance == 0.0 && ((in && !s.may) || (!in && s.must))) {
        fail("page " + std::to_string(p) + " of " + std::to_string(row.blocks) +
             (in ? " was chosen but cannot be among the best" : " was not chosen but must be among the best"));
        return;
      }
    }
    const int k = std::min(row.lists[0].k, std::max(0, last_middle - policy_.config.reserved_bos));
    if (tolerance > 0.0 && could_be_best < std::ceil((1.0 - tolerance) * k)) {
      fail("approxTopK found " + std::to_string(could_be_best) + " of the best " + std::to_string(k) +
           " pages with a tolerance of " + std::to_string(tolerance));
    }
  }

  const vflow::Policy& policy_;
  const Executable& executable_;
  const AgreementOptions& options_;
};

}  // namespace

Result<AgreementReport> compare_with_oracle(const vflow::Policy& policy, const Executable& executable, uint64_t seed,
                                            const AgreementOptions& options) {
  Comparison comparison(policy, executable, options);
  for (int i = 0; i < options.cases; ++i) {
    const InputKind kind = kKinds[static_cast<size_t>(i) % std::size(kKinds)];
    VORTEX_TRY(comparison.run_case(kind, stream_key(seed, static_cast<uint64_t>(i))));
  }
  return std::move(comparison.report);
}

std::string describe(const AgreementReport& report) {
  const std::string unseen =
      report.rows_unseen == 0 ? "" : std::to_string(report.rows_unseen) + " rows by their pages alone; ";
  std::string text = std::to_string(report.rows_scored) + " rows scored, " + std::to_string(report.same_choice) +
                     " with the oracle's pages; " + std::to_string(report.scores_compared) + " scores compared, " +
                     std::to_string(report.scores_identical) + " identical, " +
                     std::to_string(report.scores_unbounded) + " without a bound; " + unseen +
                     std::to_string(report.field_values_compared) + " field values compared, " +
                     std::to_string(report.field_values_unbounded) + " without a bound";
  for (const std::string& failure : report.failures) { text += "\n" + failure; }
  return text;
}

}  // namespace vortex::compile
