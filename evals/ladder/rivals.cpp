#include "evals/ladder/rivals.h"

#include <cmath>

#include "base/text.h"
#include "evals/ladder/expected_race.h"

namespace vortex::evals {
namespace {

constexpr size_t kFewestProblems = 8;
constexpr double kSureSigmas = 3;
// Nats a token below which hardly an answer comes out otherwise: two points of accuracy, by what was measured.
constexpr double kOfNoMatter = 0.02;

std::optional<Beaten> behind(const job::Rival& rival, const std::vector<AnswerProbe>& probes) {
  const size_t count = probes.size();
  if (rival.answer_kl.size() != count || count < kFewestProblems) { return std::nullopt; }
  const auto n = static_cast<double>(count);
  double mean = 0;
  for (size_t i = 0; i < count; ++i) { mean += (probes[i].kl - rival.answer_kl[i]) / n; }
  double squares = 0;
  for (size_t i = 0; i < count; ++i) { squares += std::pow(probes[i].kl - rival.answer_kl[i] - mean, 2); }
  const double error = std::sqrt(squares / (n - 1) / n);
  return Beaten{rival.candidate, mean, mean - kSureSigmas * error};
}

}  // namespace

std::optional<Beaten> beaten_by_rival(const Session& session, const std::vector<AnswerProbe>& probes, double bytes) {
  if (!one_greedy_answer_each(session)) { return std::nullopt; }
  std::optional<Beaten> worst;
  for (const job::Rival& rival : session.job.rivals) {
    if (rival.answer_bytes > bytes) { continue; }
    const std::optional<Beaten> one = behind(rival, probes);
    if (!one || one->at_least <= kOfNoMatter) { continue; }
    if (!worst || one->at_least > worst->at_least) { worst = one; }
  }
  return worst;
}

std::string beaten_text(const Beaten& beaten) {
  return "candidate " + std::to_string(beaten.by) + " reads no more, and right answers surprise it less by " +
         fixed(beaten.behind, 2) + " nats a token, " + fixed(beaten.at_least, 2) + " at least";
}

}  // namespace vortex::evals
