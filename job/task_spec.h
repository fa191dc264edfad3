#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::job {

// One problem of a data set.
struct Question {
  std::string id;  // unique within its data set
  std::string problem;
  std::string answer;
};

// Needles in a haystack (kind niah): sentences that state a value for a key, hidden among others.
struct NeedleSpec {
  std::string haystack =
      "noise";  // noise: `noise` over and over; prose: sentences made up by the seed; needles: others
  std::string key_type = "words";  // words, numbers (7 digits) or uuids
  std::string value_type = "numbers";
  int keys = 1;     // hidden; at least `queries`
  int values = 1;   // a key
  int queries = 1;  // keys that are asked for
  std::string sentence = "A secret of the {type} kept for {key} is: {value}.";
};

// Chains of assignments in a haystack (kind variable_tracking): which variables hold a value?
struct TrackingSpec {
  std::string haystack = "noise";  // noise or prose
  int chains = 1;
  int hops = 4;      // a chain has hops + 1 variables
  int examples = 1;  // solved ones before the problem
};

// A numbered list of words (kind common_words): which ones are repeated most?
struct CommonWordsSpec {
  int common = 10;        // words that are asked for
  int common_count = 30;  // times each of them stands in the list
  int other_count = 3;    // times each other word does
  int examples = 1;       // solved ones before the problem: as many common words, and
  int example_others = 30;
  int example_common_count = 10;
  int example_other_count = 3;
};

// Made-up words whose k-th most frequent one has a share proportional to k^-alpha (kind frequent_words).
struct FrequentWordsSpec {
  int asked = 3;  // of the most frequent ones, after the noise word "..." that comes first
  double alpha = 2.0;
  int word_length = 6;
};

// The load that a policy is going to serve, which the speed stage measures: requests with the task's prompts, as many
// at a time as the pool holds.
struct WorkloadSpec {
  // How long answers are. dense: as those of dense attention in the same search; lognormal: drawn from the distribution
  // below; fixed: no load, but speed_tokens of the job behind as many prompts as decode together.
  std::string answers = "dense";
  int requests = 0;     // 0: as many as fill the pool a few times over
  int prompt = 0;       // tokens of every prompt; 0: those of the task's own
  double mean = 12600;  // lognormal: of the answers, before they are cut
  double sigma = 0.6;   // lognormal: deviation of the logarithm
  int longest = 32000;  // lognormal: where they are cut
  uint64_t seed = 1;    // lognormal
};

// The day that chat templates see unless a task names another: the one that Llama 3.1's falls back to.
inline constexpr const char* kPromptDate = "2024-07-26";

// The problems that candidates are scored on. Everything that changes a score is in here, nothing is hidden in code.
// docs/tasks.md describes every kind and member.
struct TaskSpec {
  std::string kind = "chain";  // chain, questions, niah, variable_tracking, common_words, frequent_words
  int definitions = 780;       // chain: N, sets the context length (5 N + 4 tokens)
  int chain = 16;              // chain: C, sets the length of the solution (10 C + 5 tokens)

  std::string data;                 // questions: name of the data set, for the ids of its problems
  std::vector<Question> questions;  // questions: all of it

  int length = 4096;  // synthetic kinds: tokens of the whole prompt and of max_new_tokens together
  NeedleSpec needles;
  TrackingSpec tracking;
  CommonWordsSpec common_words;
  FrequentWordsSpec frequent_words;
  std::string noise;  // synthetic kinds: sentences between the ones that matter

  // All kinds but chain: the text around a problem, with {problem}, or {context} and {query}, and for niah {type}.
  std::string prompt;
  std::string answer_start;        // what the answer begins with: follows the prompt, not generated
  bool chat = false;               // the prompt is a user's message in the model's chat template
  bool thinking = false;           // where the template knows thinking: is it on?
  std::string date = kPromptDate;  // YYYY-MM-DD: today, for templates that write the day into a prompt

  int problems = 32;
  int trials = 1;
  uint64_t seed = 1;  // of the problems; held-out problems use another
  int max_new_tokens = 192;
  double temperature = 0.0;
  double top_p = 1.0;
  int top_k = 0;

  std::optional<WorkloadSpec> workload;  // absent: dense, but for chain on the CPU, which measures fixed work
};

// JSON both ways. Reading is strict: unknown keys, wrong types and values out of range are refused by name; absent
// members keep their defaults. Members of other kinds than the task's own are not written and not read.
nlohmann::json to_json(const TaskSpec& task);
Result<TaskSpec> task_from_json(const nlohmann::json& json, const std::string& path = "task");

// SHA-256 of the JSON: what identifies a task as a whole.
std::string task_hash(const TaskSpec& task);

// The same JSON with the hash instead of the questions: evidence that names the task without repeating the data set.
nlohmann::json task_summary(const TaskSpec& task);

}  // namespace vortex::job
