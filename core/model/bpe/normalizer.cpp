#include "core/model/bpe/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace vortex::model {
namespace {

// No character below U+0300 (0xcc 0x80) is changed by NFC, and none composes with its neighbours.
bool surely_normal(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0xcc; });
}

}  // namespace

std::string Normalizer::apply(std::string_view text) const {
  if (!nfc || surely_normal(text)) { return std::string(text); }
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &composed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  std::string out(size < 0 ? text : std::string_view(reinterpret_cast<char*>(composed), static_cast<size_t>(size)));
  std::free(composed);
  return out;
}

Result<Normalizer> read_normalizer(const nlohmann::json& json) {
  Normalizer normalizer;
  if (json.is_null()) { return normalizer; }
  const nlohmann::json type = json.is_object() ? json.value("type", nlohmann::json()) : nlohmann::json();
  if (type == "NFC") {
    normalizer.nfc = true;
    return normalizer;
  }
  if (type != "Sequence" || !json.contains("normalizers") || !json["normalizers"].is_array()) {
    return candidate_error("tokenizer.json: normalizer " + type.dump() + " is not supported", "NFC and none are");
  }
  for (const auto& part : json["normalizers"]) {
    VORTEX_ASSIGN(const Normalizer one, read_normalizer(part));
    normalizer.nfc = normalizer.nfc || one.nfc;
  }
  return normalizer;
}

}  // namespace vortex::model
