#include "base/json.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace vortex {

int json_depth(std::string_view text) {
  int depth = 0;
  int most = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') { ++i; }
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      most = std::max(most, ++depth);
    } else if (c == ']' || c == '}') {
      depth = std::max(0, depth - 1);
    }
  }
  return most;
}

namespace {

struct Word {
  std::string_view python;
  std::string_view json;
};
constexpr Word kWords[] = {{"NaN", "null"}, {"-Infinity", "\"-Infinity\""}, {"Infinity", "\"Infinity\""}};

// The text with Python's words outside strings as JSON has them; empty where there are none.
std::string without_pythons_words(std::string_view text) {
  std::string out;
  size_t copied = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      const auto* word = std::find_if(std::begin(kWords), std::end(kWords),
                                      [&](const Word& each) { return text.substr(i).starts_with(each.python); });
      if (word == std::end(kWords)) { continue; }
      out += text.substr(copied, i - copied);
      out += word->json;
      i += word->python.size() - 1;
      copied = i + 1;
    }
  }
  if (copied > 0) { out += text.substr(copied); }
  return out;
}

}  // namespace

bool has_zero_byte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

nlohmann::json parse_json(std::string_view text) {
  if (has_zero_byte(text) || json_depth(text) > kMaxJsonDepth) {
    return nlohmann::json(nlohmann::json::value_t::discarded);
  }
  nlohmann::json value = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!value.is_discarded()) { return value; }
  const std::string mended = without_pythons_words(text);
  return mended.empty() ? value : nlohmann::json::parse(mended, nullptr, false);
}

nlohmann::json parse_json_to_depth(std::string_view text, int depth) {
  using nlohmann::json;
  if (has_zero_byte(text)) { return json(json::value_t::discarded); }
  const auto is_shallow = [depth](int at, json::parse_event_t, json&) { return at <= depth; };
  return json::parse(text.begin(), text.end(), is_shallow, false);
}

}  // namespace vortex
