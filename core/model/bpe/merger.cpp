#include "core/model/bpe/merger.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>

#include "core/model/bpe/byte_alphabet.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr int64_t kMaxId = 1 << 24;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

bool is_set(const json& value) {
  return !value.is_null() && value != "" && value != false && !(value.is_number() && value == 0);
}

// The two halves of a merge, written "left right" or ["left", "right"].
std::optional<std::pair<std::string, std::string>> halves(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (!merge.is_string()) { return std::nullopt; }
  const auto text = merge.get<std::string>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) { return std::nullopt; }
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

// A merge that may be possible: of the symbol at `at` with the one behind it.
struct Candidate {
  int32_t rank;
  int32_t at;
  int32_t id;
  // The priority queue gives its greatest element first: the lowest rank, then the leftmost.
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};

}  // namespace

Status Merger::read_vocabulary(const json& vocab) {
  if (!vocab.is_object()) { return candidate_error("tokenizer.json: model.vocab must be an object"); }
  bytes_.fill(-1);
  vocabulary_.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    if (!value.is_number_unsigned() || value > kMaxId) {
      return candidate_error("tokenizer.json: token \"" + token + "\" has the id " + value.dump());
    }
    const auto id = value.get<int32_t>();
    vocabulary_.emplace(token, id);
    const auto bytes = bytes_of_token(token);
    if (bytes && bytes->size() == 1) { bytes_[static_cast<uint8_t>((*bytes)[0])] = id; }
  }
  return ok_status();
}

// With byte_fallback a character without a token becomes one token for each of its bytes, "<0x41>" and so on, if the
// vocabulary has them all. The characters here are the letters of the byte alphabet.
void Merger::read_fallback() {
  for (size_t byte = 0; byte < fallback_.size(); ++byte) {
    for (char part : token_of_bytes(std::string(1, static_cast<char>(byte)))) {
      char name[16];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(static_cast<uint8_t>(part)));
      const auto found = vocabulary_.find(name);
      if (found == vocabulary_.end()) {
        fallback_[byte].clear();
        break;
      }
      fallback_[byte].push_back(found->second);
    }
  }
}

Status Merger::read_merges(const json& merges) {
  if (!merges.is_array()) { return candidate_error("tokenizer.json: model.merges must be a list"); }
  merges_.reserve(merges.size());
  int32_t rank = 0;
  for (const json& merge : merges) {
    const auto pair = halves(merge);
    if (!pair) { return candidate_error("tokenizer.json: merge " + merge.dump() + " is not a pair of tokens"); }
    const auto left = vocabulary_.find(pair->first);
    const auto right = vocabulary_.find(pair->second);
    const auto merged = vocabulary_.find(pair->first + pair->second);
    if (left == vocabulary_.end() || right == vocabulary_.end() || merged == vocabulary_.end()) {
      return candidate_error("tokenizer.json: merge " + merge.dump() + " names a token that is not in the vocabulary");
    }
    merges_.insert_or_assign(pair_key(left->second, right->second), Merge{rank++, merged->second});
  }
  return ok_status();
}

Result<Merger> Merger::read(const json& model) {
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk"}) {
    const json value = model.value(key, json());
    if (is_set(value)) {
      return candidate_error(std::string("tokenizer.json: ") + key + " " + value.dump() +
                             " of a byte-level BPE model is not supported");
    }
  }
  Merger merger;
  VORTEX_TRY(merger.read_vocabulary(model.value("vocab", json())));
  VORTEX_TRY(merger.read_merges(model.value("merges", json())));
  if (is_set(model.value("byte_fallback", json()))) { merger.read_fallback(); }
  const json unknown = model.value("unk_token", json());
  if (unknown.is_string()) {
    const auto found = merger.vocabulary_.find(unknown.get<std::string>());
    if (found != merger.vocabulary_.end()) { merger.unknown_ = found->second; }
  }
  if (is_set(model.value("ignore_merges", json()))) {
    for (const auto& [token, id] : merger.vocabulary_) {
      if (auto bytes = bytes_of_token(token)) { merger.words_.emplace(std::move(*bytes), id); }
    }
  }
  return merger;
}

const Merger::Merge* Merger::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::vector<Merger::Symbol> Merger::symbols_of(std::string_view word) const {
  std::vector<Symbol> symbols;
  const auto add = [&](int32_t id) {
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  };
  for (char byte : word) {
    const auto index = static_cast<uint8_t>(byte);
    if (bytes_[index] >= 0) {
      add(bytes_[index]);
    } else if (!fallback_[index].empty()) {
      for (int32_t id : fallback_[index]) { add(id); }
    } else if (unknown_ >= 0) {
      add(unknown_);
    }
  }
  if (!symbols.empty()) { symbols.back().after = -1; }
  return symbols;
}

// Makes the possible merge of lowest rank, the leftmost of equals, until there is none. A symbol that was merged into
// the one before it has the id -1.
void Merger::merge_all(std::vector<Symbol>& symbols) const {
  std::priority_queue<Candidate> candidates;
  const auto at = [&](int32_t index) -> Symbol& { return symbols[static_cast<size_t>(index)]; };
  const auto consider = [&](int32_t index) {
    if (index < 0 || at(index).after < 0) { return; }
    if (const Merge* merge = find_merge(at(index).id, at(at(index).after).id)) {
      candidates.push({merge->rank, index, merge->id});
    }
  };
  for (size_t i = 0; i < symbols.size(); ++i) { consider(static_cast<int32_t>(i)); }
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = at(best.at);
    if (left.id < 0 || left.after < 0) { continue; }
    Symbol& right = at(left.after);
    const Merge* merge = find_merge(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) {
      continue;  // the symbols have changed since
    }
    left.id = best.id;
    right.id = -1;
    left.after = right.after;
    if (left.after >= 0) { at(left.after).before = best.at; }
    consider(left.before);
    consider(best.at);
  }
}

void Merger::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (!words_.empty()) {
    const auto whole = words_.find(std::string(word));
    if (whole != words_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  std::vector<Symbol> symbols = symbols_of(word);
  merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) { ids.push_back(symbol.id); }
  }
}

}  // namespace vortex::model
