#include "evals/tasks/needles.h"

#include <set>

#include "base/text.h"
#include "evals/tasks/haystack.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

Status check_needles(const job::TaskSpec& spec) {
  for (const char* place : {"{context}", "{query}"}) {
    if (spec.prompt.find(place) == std::string::npos) {
      return candidate_error(std::string("task.prompt lacks ") + place);
    }
  }
  if (spec.needles.haystack == "noise" && spec.noise.empty()) {
    return candidate_error("task.noise must not be empty where the haystack is noise");
  }
  return ok_status();
}

std::string random_thing(const std::string& type, Rng& rng) {
  if (type == "words") { return random_pair(rng); }
  return type == "numbers" ? random_number(rng) : random_uuid(rng);
}

// One that is not there yet, so that no key has two meanings and no value two keys. Where pairs of words run short,
// words of four are made.
std::string new_thing(const std::string& type, std::set<std::string>& known, Rng& rng) {
  constexpr int kManyTries = 16;
  for (int tries = 0;; ++tries) {
    std::string thing = random_thing(type, rng);
    if (tries >= kManyTries) { thing += "-" + random_thing(type, rng); }
    if (known.insert(thing).second) { return thing; }
  }
}

std::string sentence_of(const job::NeedleSpec& spec, const std::string& key, const std::string& value) {
  const std::string type = spec.value_type.substr(0, spec.value_type.size() - 1);  // "number"
  return filled(spec.sentence, {{"{type}", type}, {"{key}", key}, {"{value}", value}});
}

struct Hidden {
  std::vector<std::string> sentences;
  std::vector<std::string> queries;
  std::vector<std::string> answers;
};

Hidden draw_needles(const job::NeedleSpec& spec, std::set<std::string>& known, Rng& rng) {
  std::vector<std::pair<std::string, std::vector<std::string>>> drawn;  // key and values
  Hidden hidden;
  for (int k = 0; k < spec.keys; ++k) {
    drawn.emplace_back(new_thing(spec.key_type, known, rng), std::vector<std::string>());
    for (int v = 0; v < spec.values; ++v) {
      drawn.back().second.push_back(new_thing(spec.value_type, known, rng));
      hidden.sentences.push_back(sentence_of(spec, drawn.back().first, drawn.back().second.back()));
    }
  }
  shuffle(hidden.sentences, rng);
  shuffle(drawn, rng);
  for (int q = 0; q < spec.queries; ++q) {
    const auto& [key, values] = drawn[static_cast<size_t>(q)];
    hidden.queries.push_back(key);
    hidden.answers.insert(hidden.answers.end(), values.begin(), values.end());
  }
  return hidden;
}

Problem needles_of_size(const job::TaskSpec& spec, int number, int units, const std::string& filler) {
  const job::NeedleSpec& needles = spec.needles;
  Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), 0x4ee));
  std::set<std::string> known;
  const Hidden hidden = draw_needles(needles, known, rng);
  std::vector<std::string> haystack;
  for (int i = 0; i < units; ++i) {
    if (needles.haystack == "noise") { haystack.push_back(spec.noise); }
    if (needles.haystack == "prose") { haystack.push_back(prose_sentence(rng)); }
    if (needles.haystack == "needles") {
      const std::string key = new_thing(needles.key_type, known, rng);
      haystack.push_back(sentence_of(needles, key, new_thing(needles.value_type, known, rng)));
    }
  }
  const char* separator = needles.haystack == "prose" ? " " : "\n";
  const std::string context = join(scattered(haystack, hidden.sentences, rng), separator) + filler;
  Problem problem;
  problem.id = synthetic_id(spec, number);
  problem.prompt = filled(spec.prompt, {{"{context}", context}, {"{query}", listed(hidden.queries)}});
  problem.answer_start = filled(spec.answer_start, {{"{query}", listed(hidden.queries)}});
  problem.answers = hidden.answers;
  problem.solution = " " + listed(hidden.answers);
  return problem;
}

Result<Problem> make_needles(const job::TaskSpec& spec, int number, const CountTokens& count) {
  return fit_to_length(
      spec, 1, [&](int units, const std::string& filler) { return needles_of_size(spec, number, units, filler); },
      count);
}

}  // namespace

const Task kNeedlesTask = {"niah", check_needles, make_needles, grade_mention, synthetic_bound};

}  // namespace vortex::evals
