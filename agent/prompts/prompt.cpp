#include "agent/prompts/prompt.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "agent/prompts/builtin_templates.h"
#include "base/files.h"
#include "base/text.h"

namespace vortex::agent {
namespace {

template <typename T>
std::vector<std::string> names_of(const std::map<std::string, T>& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) { names.push_back(name); }
  return names;
}

Error unknown_name(const std::string& what, const std::string& name, const std::vector<std::string>& known) {
  const auto nearest = nearest_word(name, known);
  return candidate_error(what, nearest ? "did you mean " + *nearest + "?" : "known: " + join(known, ", "));
}

}  // namespace

Result<Templates> load_templates(const std::string& folder) {
  Templates templates = builtin_templates();
  if (folder.empty()) { return templates; }
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    if (entry.path().extension() != ".md" || entry.path().stem() == "README") { continue; }
    const std::string name = entry.path().stem().string();
    if (!templates.contains(name)) {
      return unknown_name("no prompt is called " + name + ": " + entry.path().string(), name, names_of(templates));
    }
    VORTEX_ASSIGN(templates[name], read_file(entry.path()));
  }
  if (ec) { return candidate_error("cannot list the prompts folder " + folder + ": " + ec.message()); }
  return templates;
}

Result<std::string> fill_template(const Templates& templates, const std::string& name,
                                  const std::map<std::string, std::string>& values) {
  const auto found = templates.find(name);
  if (found == templates.end()) { return internal_error("there is no template " + name); }
  const std::string& text = found->second;
  std::string filled;
  size_t at = 0;
  while (true) {
    const size_t open = text.find("{{", at);
    const size_t close = open == std::string::npos ? open : text.find("}}", open);
    if (close == std::string::npos) { break; }
    const std::string placeholder = text.substr(open + 2, close - open - 2);
    const auto value = values.find(placeholder);
    if (value == values.end()) {
      const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(open), '\n');
      return unknown_name(name + ".md:" + std::to_string(line) + ": nothing fills {{" + placeholder + "}} here",
                          placeholder, names_of(values));
    }
    filled.append(text, at, open - at).append(value->second);
    at = close + 2;
  }
  return filled.append(text, at, std::string::npos);
}

}  // namespace vortex::agent
