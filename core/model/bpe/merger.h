#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace vortex::model {

// Byte-pair encoding of words (Sennrich et al., arXiv:1508.07909) over a byte-level vocabulary. Immutable.
class Merger {
 public:
  // Reads tokenizer.json's "model". Variants that change the ids (dropout, sub-word prefixes and suffixes) are refused.
  static Result<Merger> read(const nlohmann::json& model);

  // Appends the ids of one word, given as bytes. Time grows as n log n with its length.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  // The vocabulary: the id of each token as the file writes it.
  const std::unordered_map<std::string, int32_t>& vocabulary() const { return vocabulary_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the merged token
  };
  struct PairHash {
    size_t operator()(uint64_t pair) const { return pair * 0x9e3779b97f4a7c15 ^ (pair >> 29); }
  };
  struct Symbol {
    int32_t id;
    int32_t before;  // index of the living symbol on either side; -1: none
    int32_t after;
  };

  Status read_vocabulary(const nlohmann::json& vocab);
  void read_fallback();
  Status read_merges(const nlohmann::json& merges);
  const Merge* find_merge(int32_t left, int32_t right) const;
  std::vector<Symbol> symbols_of(std::string_view word) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  std::unordered_map<std::string, int32_t> vocabulary_;
  std::unordered_map<std::string, int32_t>
      words_;  // whole words by their bytes; filled when merges are ignored for them
  std::unordered_map<uint64_t, Merge, PairHash> merges_;
  std::array<int32_t, 256> bytes_ = {};  // id of the token of a byte; -1: none
  std::array<std::vector<int32_t>, 256>
      fallback_;          // ids that stand for a byte without a token, where the file asks for it
  int32_t unknown_ = -1;  // stands for bytes with neither; -1: they are left out
};

}  // namespace vortex::model
