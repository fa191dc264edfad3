#include "cli/prompts.h"

#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"

namespace vortex::cli {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // Windows puts it before a text; it is no part of it

std::string all_of_stdin() { return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}; }

void drop_line_break(std::string& text) {
  if (text.ends_with('\n')) { text.pop_back(); }
  if (text.ends_with('\r')) { text.pop_back(); }
}

Result<std::string> prompt_of(const nlohmann::json& object, const std::string& place) {
  if (!object.is_object()) { return candidate_error(place + ": not a JSON object"); }
  for (const char* member : {"prompt", "problem"}) {
    const auto found = object.find(member);
    if (found == object.end()) { continue; }
    if (!found->is_string()) { return candidate_error(place + ": \"" + member + "\" must be a text"); }
    return found->get<std::string>();
  }
  return candidate_error(place + ": has neither \"prompt\" nor \"problem\"");
}

}  // namespace

Result<std::vector<std::string>> parse_prompts(std::string_view text, const std::string& name) {
  if (text.starts_with(kByteOrderMark)) { text.remove_prefix(kByteOrderMark.size()); }
  std::vector<std::string> prompts;
  bool is_json = false;
  int number = 0;
  for (std::string& line : split_lines(text)) {
    ++number;
    drop_line_break(line);
    if (line.find_first_not_of(" \t") == std::string::npos) { continue; }
    if (prompts.empty()) { is_json = parse_json(line).is_object(); }
    if (is_json) { VORTEX_ASSIGN(line, prompt_of(parse_json(line), name + ":" + std::to_string(number))); }
    prompts.push_back(std::move(line));
  }
  if (prompts.empty()) { return candidate_error(name + " has no prompts"); }
  return prompts;
}

Result<std::vector<std::string>> read_prompts(const std::string& argument, const std::string& file) {
  if (!argument.empty() && !file.empty()) {
    return candidate_error("a prompt and a file of prompts at once", "leave out one of them");
  }
  if (file == "-") { return parse_prompts(all_of_stdin(), "standard input"); }
  if (!file.empty()) {
    VORTEX_ASSIGN(const std::string text, read_file(file));
    return parse_prompts(text, file);
  }
  if (argument.empty()) {
    return candidate_error("which prompt?", "give it as an argument, as - to read standard input, or --prompts FILE");
  }
  std::string prompt = argument;
  if (argument == "-") {
    prompt = all_of_stdin();
    if (prompt.starts_with(kByteOrderMark)) { prompt.erase(0, kByteOrderMark.size()); }
    drop_line_break(prompt);
  }
  return std::vector<std::string>{std::move(prompt)};
}

}  // namespace vortex::cli
