#include "evals/tasks/task_file.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "base/text.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

struct Fields {
  std::string id = "id";
  std::string problem = "problem";
  std::string answer = "answer";
};

Result<Fields> read_fields(const nlohmann::json& json) {
  Fields fields;
  JsonReader reader(json, "task.fields");
  reader.optional("id", fields.id);
  reader.optional("problem", fields.problem);
  reader.optional("answer", fields.answer);
  VORTEX_TRY(reader.finish());
  return fields;
}

Result<fs::path> find_data(const std::string& name, const fs::path& task_file) {
  for (const fs::path& path : {task_file.parent_path() / name, fs::path("data") / name}) {
    std::error_code error;
    if (fs::is_regular_file(path, error)) { return path; }
  }
  std::error_code error;
  return candidate_error("the data set " + name + " is not there",
                         "put it into " + fs::absolute("data", error).string() + " or beside " + task_file.string() +
                             ": lines of JSON; `vortex fetch --data OWNER/NAME` brings one from a hub");
}

// A text, a number as it is written, or a list of one of them.
std::string text_of(const nlohmann::json& value) {
  if (value.is_array() && value.size() == 1 && !value[0].is_array()) { return text_of(value[0]); }
  if (value.is_string()) { return value.get<std::string>(); }
  return value.is_number() ? value.dump() : "";
}

Result<nlohmann::json> read_questions(const fs::path& path, const Fields& fields) {
  VORTEX_ASSIGN(const std::string text, read_file(path));
  nlohmann::json questions = nlohmann::json::array();
  const std::vector<std::string> lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find_first_not_of(" \t\r") == std::string::npos) { continue; }
    const auto line = parse_json(lines[i]);
    const std::string place = path.string() + ":" + std::to_string(i + 1);
    if (!line.is_object()) { return candidate_error(place + ": not an object in JSON"); }
    const auto member = [&](const std::string& key) { return text_of(line.value(key, nlohmann::json())); };
    for (const std::string& key : {fields.problem, fields.answer}) {
      if (member(key).empty()) {
        return candidate_error(place + " lacks \"" + key + "\"", "the task's `fields` say which members are meant");
      }
    }
    std::string id = member(fields.id);
    if (id.empty()) { id = std::to_string(questions.size()); }
    questions.push_back({{"id", id}, {"problem", member(fields.problem)}, {"answer", member(fields.answer)}});
  }
  return questions;
}

// Replaces the name of the data set by its contents.
Status bring_data(nlohmann::json& json, const fs::path& task_file) {
  if (json.contains("questions")) { return ok_status(); }
  if (!json.contains("data") || !json["data"].is_string()) {
    return candidate_error(task_file.string() + ": \"data\" must name a JSONL file");
  }
  Fields fields;
  if (json.contains("fields")) {
    VORTEX_ASSIGN(fields, read_fields(json["fields"]));
    json.erase("fields");
  }
  VORTEX_ASSIGN(const fs::path data, find_data(json["data"].get<std::string>(), task_file));
  VORTEX_ASSIGN(json["questions"], read_questions(data, fields));
  json["data"] = data.stem().string();
  if (!json.contains("problems")) { json["problems"] = json["questions"].size(); }
  return ok_status();
}

}  // namespace

Result<job::TaskSpec> read_task_file(const fs::path& path) {
  VORTEX_ASSIGN(const std::string text, read_file(path));
  auto json = parse_json(text);
  if (!json.is_object()) { return candidate_error(path.string() + " is no object in JSON"); }
  json.erase("about");
  if (json.value("kind", nlohmann::json()) == "questions") { VORTEX_TRY(bring_data(json, path)); }
  Result<job::TaskSpec> task = job::task_from_json(json);
  if (task.ok()) { return task; }
  return Error{task.error().blame, path.string() + ": " + task.error().message, task.error().hint};
}

}  // namespace vortex::evals
