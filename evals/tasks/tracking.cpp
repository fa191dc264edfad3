#include "evals/tasks/tracking.h"

#include <set>

#include "base/text.h"
#include "evals/tasks/haystack.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

constexpr int kNameLetters = 5;
constexpr int kExampleUnits = 5;  // units of haystack in a solved example

Status check_tracking(const job::TaskSpec& spec) {
  for (const char* place : {"{context}", "{query}"}) {
    if (spec.prompt.find(place) == std::string::npos) {
      return candidate_error(std::string("task.prompt lacks ") + place);
    }
  }
  if (spec.tracking.haystack == "noise" && spec.noise.empty()) {
    return candidate_error("task.noise must not be empty where the haystack is noise");
  }
  return ok_status();
}

struct Chain {
  std::string value;
  std::vector<std::string> names;
  std::vector<std::string> lines;
};

std::string new_name(std::set<std::string>& known, Rng& rng) {
  while (true) {
    std::string name;
    for (int i = 0; i < kNameLetters; ++i) { name += static_cast<char>('A' + rng.below(26)); }
    if (known.insert(name).second) { return name; }
  }
}

Chain draw_chain(int hops, std::set<std::string>& known, Rng& rng) {
  Chain chain;
  do { chain.value = std::to_string(rng.between(10000, 99999)); } while (!known.insert(chain.value).second);
  chain.names.push_back(new_name(known, rng));
  chain.lines.push_back("VAR " + chain.names.back() + " = " + chain.value);
  for (int hop = 0; hop < hops; ++hop) {
    std::string name = new_name(known, rng);
    chain.lines.push_back("VAR " + name + " = VAR " + chain.names.back());
    chain.names.push_back(std::move(name));
  }
  return chain;
}

// Prompt, answer_start and answers of one problem with that much haystack.
Problem make_one(const job::TaskSpec& spec, int units, const std::string& filler, Rng& rng) {
  std::set<std::string> known;
  std::vector<Chain> chains;
  for (int i = 0; i < spec.tracking.chains; ++i) { chains.push_back(draw_chain(spec.tracking.hops, known, rng)); }
  std::vector<std::string> text;
  for (int i = 0; i < units; ++i) {
    text.push_back(spec.tracking.haystack == "noise" ? spec.noise : prose_sentence(rng));
  }
  for (const Chain& chain : chains) { text = scattered(text, chain.lines, rng); }
  const std::string context = join(text, "\n") + filler;
  const Chain& asked = chains.front();
  Problem problem;
  const std::string count = std::to_string(asked.names.size());
  problem.prompt = filled(spec.prompt, {{"{context}", context}, {"{query}", asked.value}, {"{count}", count}});
  problem.answer_start = filled(spec.answer_start, {{"{query}", asked.value}, {"{count}", count}});
  problem.answers = asked.names;
  problem.solution = " " + join(asked.names, " ");
  return problem;
}

Problem tracking_of_size(const job::TaskSpec& spec, int number, int units, const std::string& filler) {
  std::string examples;
  for (int i = 0; i < spec.tracking.examples; ++i) {
    Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), 0x4c4, static_cast<uint64_t>(i) + 1));
    const Problem example = make_one(spec, kExampleUnits, "", rng);
    examples += example.prompt + example.answer_start + example.solution + "\n\n";
  }
  Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), 0x4c4));
  Problem problem = make_one(spec, units, filler, rng);
  problem.id = synthetic_id(spec, number);
  problem.prompt = examples + problem.prompt;
  return problem;
}

Result<Problem> make_tracking(const job::TaskSpec& spec, int number, const CountTokens& count) {
  return fit_to_length(
      spec, 1, [&](int units, const std::string& filler) { return tracking_of_size(spec, number, units, filler); },
      count);
}

}  // namespace

const Task kTrackingTask = {"variable_tracking", check_tracking, make_tracking, grade_mention, synthetic_bound};

}  // namespace vortex::evals
