// Values as text: Python's str() and repr(), and JSON.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "core/model/jinja/text.h"
#include "core/model/jinja/value.h"

namespace vortex::model::jinja {
namespace {

std::string hex_escape(const char* prefix, int digits, unsigned code) {
  char text[16];
  std::snprintf(text, sizeof(text), "%s%0*x", prefix, digits, code);
  return text;
}

Result<std::string> repr_string(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x80) { return candidate_error("a list or dict with text beyond ASCII is not supported as text"); }
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else {
      out += code < 0x20 || code == 0x7f ? hex_escape("\\x", 2, code) : std::string(1, c);
    }
  }
  return out + quote;
}

Result<std::string> repr(const Value& value) {
  if (const std::string* text = value.get<std::string>()) { return repr_string(*text); }
  if (value.is<Undefined>()) { return std::string("Undefined"); }
  return to_text(value);
}

Result<std::string> repr_list(const List& list) {
  std::string out = list.is_tuple ? "(" : "[";
  for (size_t i = 0; i < list.items.size(); ++i) {
    VORTEX_ASSIGN(const std::string item, repr(list.items[i]));
    out += (i > 0 ? ", " : "") + item;
  }
  if (list.is_tuple) { return out + (list.items.size() == 1 ? ",)" : ")"); }
  return out + "]";
}

Result<std::string> repr_dict(const Dict& dict) {
  std::string out = "{";
  for (const auto& [key, value] : dict.items) {
    VORTEX_ASSIGN(const std::string name, repr_string(key));
    VORTEX_ASSIGN(const std::string item, repr(value));
    out += (out.size() > 1 ? ", " : "") + name + ": " + item;
  }
  return out + "}";
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
    constexpr std::string_view kEscaped = "\"\\nrtbf";
    const size_t at = kPlain.find(c);
    if (at != std::string_view::npos) {
      out += '\\';
      out += kEscaped[at];
    } else {
      const auto code = static_cast<unsigned char>(c);
      out += code < 0x20 ? hex_escape("\\u", 4, code) : std::string(1, c);
    }
  }
  return out + '"';
}

// Writes JSON; `level` is how deep it stands, for the indentation.
struct JsonWriter {
  int indent = -1;
  std::string out;

  void new_line(int level) {
    if (indent >= 0) { out += "\n" + std::string(static_cast<size_t>(indent) * static_cast<size_t>(level), ' '); }
  }
  void separate(bool first, int level) {
    if (!first) { out += indent >= 0 ? "," : ", "; }
    new_line(level);
  }

  Status write(const Value& value, int level) {
    if (value.is<None>()) {
      out += "null";
    } else if (const bool* truth = value.get<bool>()) {
      out += *truth ? "true" : "false";
    } else if (const std::string* text = value.get<std::string>()) {
      out += json_string(*text);
    } else if (value.is_number()) {
      VORTEX_ASSIGN(const std::string number, to_text(value));
      out += number;
    } else if (const List* list = value.list()) {
      return write_list(*list, level);
    } else if (const Dict* dict = value.dict()) {
      return write_dict(*dict, level);
    } else {
      return candidate_error("tojson: " + kind_name(value) + " has no JSON");
    }
    return ok_status();
  }

  Status write_list(const List& list, int level) {
    out += "[";
    for (size_t i = 0; i < list.items.size(); ++i) {
      separate(i == 0, level + 1);
      VORTEX_TRY(write(list.items[i], level + 1));
    }
    if (!list.items.empty()) { new_line(level); }
    out += "]";
    return ok_status();
  }

  Status write_dict(const Dict& dict, int level) {
    out += "{";
    for (size_t i = 0; i < dict.items.size(); ++i) {
      separate(i == 0, level + 1);
      out += json_string(dict.items[i].first) + ": ";
      VORTEX_TRY(write(dict.items[i].second, level + 1));
    }
    if (!dict.items.empty()) { new_line(level); }
    out += "}";
    return ok_status();
  }
};

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) { return "nan"; }
  if (std::isinf(value)) { return value < 0 ? "-inf" : "inf"; }
  char text[64];
  const double size = std::fabs(value);
  const auto format =
      size != 0 && (size < 1e-4 || size >= 1e16) ? std::chars_format::scientific : std::chars_format::fixed;
  std::string out(text, std::to_chars(text, text + sizeof(text), value, format).ptr);
  if (format == std::chars_format::fixed && out.find('.') == std::string::npos) { out += ".0"; }
  return out;
}

Result<std::string> to_text(const Value& value) {
  if (const std::string* text = value.get<std::string>()) { return *text; }
  if (value.is<Undefined>()) { return std::string(); }
  if (value.is<None>()) { return std::string("None"); }
  if (const bool* truth = value.get<bool>()) { return std::string(*truth ? "True" : "False"); }
  if (const int64_t* whole = value.get<int64_t>()) { return std::to_string(*whole); }
  if (const double* number = value.get<double>()) { return float_text(*number); }
  if (const List* list = value.list()) { return repr_list(*list); }
  if (const Dict* dict = value.dict()) { return repr_dict(*dict); }
  return candidate_error(kind_name(value) + " has no text");
}

Result<std::string> to_json(const Value& value, int indent) {
  JsonWriter writer{indent, {}};
  VORTEX_TRY(writer.write(value, 0));
  return std::move(writer.out);
}

}  // namespace vortex::model::jinja
