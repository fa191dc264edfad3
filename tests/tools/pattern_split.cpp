// Splits texts by a tokenizer's pattern: what scripts/compare_patterns.py runs. A line in is {"pattern", "behavior",
// "invert", "text"}, a line out {"pieces"} or {"error"}.
#include <deque>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/model/bpe/pre_tokenizer.h"

namespace {

using nlohmann::json;

json split(const json& asked) {
  const json steps = {{{"type", "Split"},
                       {"pattern", {{"Regex", asked["pattern"]}}},
                       {"behavior", asked["behavior"]},
                       {"invert", asked["invert"]}},
                      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
  const auto tokenizer = vortex::model::read_pre_tokenizer({{"type", "Sequence"}, {"pretokenizers", steps}});
  if (!tokenizer.ok()) { return {{"error", tokenizer.error().message}}; }
  const auto text = asked["text"].get<std::string>();
  std::deque<std::string> owned;
  const auto words = tokenizer->split(text, owned);
  if (!words.ok()) { return {{"error", words.error().message}}; }
  json pieces = json::array();
  for (const std::string_view word : *words) { pieces.push_back(word); }
  return {{"pieces", pieces}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) { std::cout << split(json::parse(line)).dump() << '\n'; }
}
