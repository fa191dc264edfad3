#include "sandbox/keeper/options.h"

#include <cstdlib>

namespace vortex::sandbox {

KeeperOptions KeeperOptions::read(int count, char** words) {
  KeeperOptions options;
  int at = 0;
  for (; at < count && std::string_view(words[at]) != "--"; ++at) {
    const std::string word = words[at];
    const size_t equals = word.find('=');
    if (equals != std::string::npos) { options.options_.emplace_back(word.substr(0, equals), word.substr(equals + 1)); }
  }
  for (++at; at < count; ++at) { options.program_.emplace_back(words[at]); }
  return options;
}

std::string KeeperOptions::text(std::string_view key) const {
  for (const auto& [name, value] : options_) {
    if (name == key) { return value; }
  }
  return {};
}

long long KeeperOptions::number(std::string_view key, long long absent) const {
  const std::string value = text(key);
  return value.empty() ? absent : std::atoll(value.c_str());
}

std::vector<std::string> KeeperOptions::all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : options_) {
    if (name == key) { values.push_back(value); }
  }
  return values;
}

std::vector<int> KeeperOptions::numbers(std::string_view key) const {
  std::vector<int> numbers;
  const std::string value = text(key);
  for (size_t at = 0; at < value.size(); ++at) {
    numbers.push_back(std::atoi(value.c_str() + at));
    at = value.find(',', at);
    if (at == std::string::npos) { break; }
  }
  return numbers;
}

std::vector<char*> KeeperOptions::program() {
  std::vector<char*> words;
  for (std::string& word : program_) { words.push_back(word.data()); }
  words.push_back(nullptr);
  return words;
}

}  // namespace vortex::sandbox
