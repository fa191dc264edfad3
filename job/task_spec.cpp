#include "job/task_spec.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/date.h"
#include "base/json_reader.h"
#include "base/sha256.h"
#include "base/text.h"
#include "job/limits.h"

namespace vortex::job {
namespace {

constexpr int kMaxParts = 1000;  // needles, hops, words asked for

void check_one_of(JsonReader& reader, const char* key, const std::string& value,
                  const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    reader.refuse(key, "must be one of " + join(known, ", "));
  }
}

// Reads the object `key` with `read(JsonReader&)`, if it is there.
template <typename Read>
void read_object(JsonReader& reader, const char* key, Read read) {
  const nlohmann::json* member = reader.find(key, false);
  if (member == nullptr) { return; }
  JsonReader nested(*member, reader.path() + "." + key);
  read(nested);
  reader.take(nested.finish());
}

void read_needles(JsonReader& reader, NeedleSpec& needles) {
  reader.optional("haystack", needles.haystack);
  reader.optional("key_type", needles.key_type);
  reader.optional("value_type", needles.value_type);
  reader.optional("keys", needles.keys);
  reader.optional("values", needles.values);
  reader.optional("queries", needles.queries);
  reader.optional("sentence", needles.sentence);
  check_one_of(reader, "haystack", needles.haystack, {"noise", "prose", "needles"});
  check_one_of(reader, "key_type", needles.key_type, {"words", "numbers", "uuids"});
  check_one_of(reader, "value_type", needles.value_type, {"words", "numbers", "uuids"});
  check_range(reader, "keys", needles.keys, 1, kMaxParts);
  check_range(reader, "values", needles.values, 1, kMaxParts);
  check_range(reader, "queries", needles.queries, 1, needles.keys);
  for (const char* place : {"{key}", "{value}"}) {
    if (needles.sentence.find(place) == std::string::npos) { reader.refuse("sentence", std::string("lacks ") + place); }
  }
}

void read_tracking(JsonReader& reader, TrackingSpec& tracking) {
  reader.optional("haystack", tracking.haystack);
  reader.optional("chains", tracking.chains);
  reader.optional("hops", tracking.hops);
  reader.optional("examples", tracking.examples);
  check_one_of(reader, "haystack", tracking.haystack, {"noise", "prose"});
  check_range(reader, "chains", tracking.chains, 1, kMaxParts);
  check_range(reader, "hops", tracking.hops, 1, kMaxParts);
  check_range(reader, "examples", tracking.examples, 0, 10);
}

void read_common_words(JsonReader& reader, CommonWordsSpec& words) {
  reader.optional("common", words.common);
  reader.optional("common_count", words.common_count);
  reader.optional("other_count", words.other_count);
  reader.optional("examples", words.examples);
  reader.optional("example_others", words.example_others);
  reader.optional("example_common_count", words.example_common_count);
  reader.optional("example_other_count", words.example_other_count);
  check_range(reader, "example_others", words.example_others, 1, kMaxParts);
  check_range(reader, "example_common_count", words.example_common_count, 2, kMaxParts);
  check_range(reader, "example_other_count", words.example_other_count, 1, words.example_common_count - 1);
  check_range(reader, "common", words.common, 1, kMaxParts);
  check_range(reader, "common_count", words.common_count, 2, kMaxParts);
  check_range(reader, "other_count", words.other_count, 1, words.common_count - 1);
  check_range(reader, "examples", words.examples, 0, 10);
}

void read_frequent_words(JsonReader& reader, FrequentWordsSpec& words) {
  reader.optional("asked", words.asked);
  reader.optional("alpha", words.alpha);
  reader.optional("word_length", words.word_length);
  check_range(reader, "asked", words.asked, 1, 100);
  check_range(reader, "alpha", words.alpha, 1.01, 10);
  check_range(reader, "word_length", words.word_length, 3, 32);
}

void read_questions(JsonReader& reader, TaskSpec& task) {
  reader.required("data", task.data);
  const nlohmann::json* array = reader.find("questions", true);
  if (array == nullptr) { return; }
  if (!array->is_array() || array->empty()) { return reader.refuse("questions", "must be an array that is not empty"); }
  std::set<std::string> ids;
  for (size_t i = 0; i < array->size(); ++i) {
    Question question;
    JsonReader nested((*array)[i], reader.path() + ".questions[" + std::to_string(i) + "]");
    nested.required("id", question.id);
    nested.required("problem", question.problem);
    nested.required("answer", question.answer);
    if (!ids.insert(question.id).second) { nested.refuse("id", "is there twice"); }
    reader.take(nested.finish());
    task.questions.push_back(std::move(question));
  }
}

nlohmann::json needles_json(const TaskSpec& task) {
  const NeedleSpec& needles = task.needles;
  return {{"haystack", needles.haystack}, {"key_type", needles.key_type}, {"value_type", needles.value_type},
          {"keys", needles.keys},         {"values", needles.values},     {"queries", needles.queries},
          {"sentence", needles.sentence}};
}

nlohmann::json tracking_json(const TaskSpec& task) {
  const TrackingSpec& tracking = task.tracking;
  return {{"haystack", tracking.haystack},
          {"chains", tracking.chains},
          {"hops", tracking.hops},
          {"examples", tracking.examples}};
}

nlohmann::json common_words_json(const TaskSpec& task) {
  const CommonWordsSpec& words = task.common_words;
  return {{"common", words.common},
          {"common_count", words.common_count},
          {"other_count", words.other_count},
          {"examples", words.examples},
          {"example_others", words.example_others},
          {"example_common_count", words.example_common_count},
          {"example_other_count", words.example_other_count}};
}

nlohmann::json frequent_words_json(const TaskSpec& task) {
  const FrequentWordsSpec& words = task.frequent_words;
  return {{"asked", words.asked}, {"alpha", words.alpha}, {"word_length", words.word_length}};
}

// A kind of task that makes its own problems, to a length: the member that holds what is its own, and how that reads.
struct SyntheticKind {
  std::string_view kind;
  const char* member;
  void (*read)(JsonReader& reader, TaskSpec& task);
  nlohmann::json (*write)(const TaskSpec& task);
};
constexpr std::array kSynthetic = {
    SyntheticKind{"niah", "needles", [](JsonReader& in, TaskSpec& task) { read_needles(in, task.needles); },
                  needles_json},
    SyntheticKind{"variable_tracking", "tracking",
                  [](JsonReader& in, TaskSpec& task) { read_tracking(in, task.tracking); }, tracking_json},
    SyntheticKind{"common_words", "common_words",
                  [](JsonReader& in, TaskSpec& task) { read_common_words(in, task.common_words); }, common_words_json},
    SyntheticKind{"frequent_words", "frequent_words",
                  [](JsonReader& in, TaskSpec& task) { read_frequent_words(in, task.frequent_words); },
                  frequent_words_json},
};

const SyntheticKind* synthetic_kind(std::string_view kind) {
  const auto row = std::find_if(kSynthetic.begin(), kSynthetic.end(),
                                [&](const SyntheticKind& candidate) { return candidate.kind == kind; });
  return row == kSynthetic.end() ? nullptr : row;
}

std::string known_kinds() {
  std::string known = "chain, questions";
  for (const SyntheticKind& synthetic : kSynthetic) { known += ", " + std::string(synthetic.kind); }
  return known;
}

void read_workload(JsonReader& reader, WorkloadSpec& workload) {
  reader.optional("answers", workload.answers);
  reader.optional("requests", workload.requests);
  reader.optional("prompt", workload.prompt);
  check_one_of(reader, "answers", workload.answers, {"dense", "lognormal", "fixed"});
  check_range(reader, "requests", workload.requests, 0, kMaxProblems);
  check_range(reader, "prompt", workload.prompt, 0, kMaxTokens);
  if (workload.answers != "lognormal") { return; }
  reader.optional("mean", workload.mean);
  reader.optional("sigma", workload.sigma);
  reader.optional("longest", workload.longest);
  reader.optional("seed", workload.seed);
  check_range(reader, "mean", workload.mean, 1, kMaxTokens);
  check_range(reader, "sigma", workload.sigma, 0, 5);
  check_range(reader, "longest", workload.longest, 2, kMaxTokens);
}

nlohmann::json workload_json(const WorkloadSpec& workload) {
  nlohmann::json json = {{"answers", workload.answers}, {"requests", workload.requests}, {"prompt", workload.prompt}};
  if (workload.answers != "lognormal") { return json; }
  json["mean"] = workload.mean;
  json["sigma"] = workload.sigma;
  json["longest"] = workload.longest;
  json["seed"] = workload.seed;
  return json;
}

// Members of the task's own kind.
void read_kind(JsonReader& reader, TaskSpec& task) {
  if (task.kind == "chain") {
    reader.optional("definitions", task.definitions);
    reader.optional("chain", task.chain);
    return;
  }
  reader.required("prompt", task.prompt);
  reader.optional("answer_start", task.answer_start);
  reader.optional("chat", task.chat);
  reader.optional("thinking", task.thinking);
  reader.optional("date", task.date);
  if (!is_date(task.date)) { reader.refuse("date", "must be a day as YYYY-MM-DD"); }
  if (task.kind == "questions") { return read_questions(reader, task); }
  reader.required("length", task.length);
  reader.optional("noise", task.noise);
  check_range(reader, "length", task.length, 1, kMaxTokens);
  const SyntheticKind& synthetic = *synthetic_kind(task.kind);
  read_object(reader, synthetic.member, [&](JsonReader& in) { synthetic.read(in, task); });
}

void write_synthetic(const SyntheticKind& synthetic, const TaskSpec& task, nlohmann::json& json) {
  json["length"] = task.length;
  if (!task.noise.empty()) { json["noise"] = task.noise; }
  json[synthetic.member] = synthetic.write(task);
}

}  // namespace

nlohmann::json to_json(const TaskSpec& task) {
  nlohmann::json json = {{"kind", task.kind},
                         {"problems", task.problems},
                         {"trials", task.trials},
                         {"seed", task.seed},
                         {"max_new_tokens", task.max_new_tokens},
                         {"temperature", task.temperature},
                         {"top_p", task.top_p},
                         {"top_k", task.top_k}};
  if (task.workload) { json["workload"] = workload_json(*task.workload); }
  if (task.kind == "chain") {
    json["definitions"] = task.definitions;
    json["chain"] = task.chain;
    return json;
  }
  json["prompt"] = task.prompt;
  json["answer_start"] = task.answer_start;
  json["chat"] = task.chat;
  json["thinking"] = task.thinking;
  if (task.date != kPromptDate) { json["date"] = task.date; }
  if (const SyntheticKind* synthetic = synthetic_kind(task.kind)) { write_synthetic(*synthetic, task, json); }
  if (task.kind == "questions") {
    json["data"] = task.data;
    json["questions"] = nlohmann::json::array();
    for (const Question& question : task.questions) {
      json["questions"].push_back({{"id", question.id}, {"problem", question.problem}, {"answer", question.answer}});
    }
  }
  return json;
}

Result<TaskSpec> task_from_json(const nlohmann::json& json, const std::string& path) {
  TaskSpec task;
  JsonReader reader(json, path);
  reader.optional("kind", task.kind);
  if (task.kind != "chain" && task.kind != "questions" && synthetic_kind(task.kind) == nullptr) {
    return candidate_error(path + ".kind: no task is called \"" + task.kind + "\"", "kinds: " + known_kinds());
  }
  read_kind(reader, task);
  reader.optional("problems", task.problems);
  reader.optional("trials", task.trials);
  reader.optional("seed", task.seed);
  reader.optional("max_new_tokens", task.max_new_tokens);
  reader.optional("temperature", task.temperature);
  reader.optional("top_p", task.top_p);
  reader.optional("top_k", task.top_k);
  read_object(reader, "workload", [&](JsonReader& in) { read_workload(in, task.workload.emplace()); });
  check_range(reader, "problems", task.problems, 1, kMaxProblems);
  check_range(reader, "trials", task.trials, 1, kMaxProblems);
  check_range(reader, "max_new_tokens", task.max_new_tokens, 1, kMaxTokens);
  check_range(reader, "temperature", task.temperature, 0.0, 100.0);
  if (task.top_p <= 0.0 || task.top_p > 1.0) { reader.refuse("top_p", "must be above 0 and at most 1"); }
  if (task.top_k < 0) { reader.refuse("top_k", "must not be negative"); }
  VORTEX_TRY(reader.finish());
  return task;
}

std::string task_hash(const TaskSpec& task) { return sha256_hex(to_json(task).dump()); }

nlohmann::json task_summary(const TaskSpec& task) {
  nlohmann::json json = to_json(task);
  json.erase("questions");
  json["hash"] = task_hash(task);
  return json;
}

}  // namespace vortex::job
