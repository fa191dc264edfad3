#include "core/model/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr const char* kWhole = "model.safetensors";  // of a model that has no shards
constexpr uint64_t kMaxHeaderBytes = 100'000'000;    // the format's own limit

std::optional<vflow::Dtype> dtype_from_name(const std::string& name) {
  if (name == "BF16") { return vflow::Dtype::kBf16; }
  if (name == "F16") { return vflow::Dtype::kFp16; }
  if (name == "F32") { return vflow::Dtype::kFp32; }
  if (name == "F8_E4M3") { return vflow::Dtype::kFp8E4m3; }
  return std::nullopt;
}

bool is_count(const json& value) { return value.is_number_unsigned() && value.get<uint64_t>() <= INT64_MAX; }

// The number of bytes that a tensor of this shape takes, or nothing if that is not a number that fits.
std::optional<uint64_t> tensor_bytes(const std::vector<int64_t>& shape, int element_bytes) {
  auto size = static_cast<uint64_t>(element_bytes);
  for (int64_t extent : shape) {
    if (__builtin_mul_overflow(size, static_cast<uint64_t>(extent), &size)) { return std::nullopt; }
  }
  return size;
}

struct Entry {
  Tensor tensor;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Reads one member of the header; `where` names file and tensor.
Result<Entry> parse_entry(const json& value, std::string_view data, const std::string& where) {
  const auto malformed = [&](const std::string& why) { return candidate_error(where + ": " + why); };
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
      !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
      value["data_offsets"].size() != 2) {
    return malformed("the header entry lacks dtype, shape or data_offsets");
  }
  Entry entry;
  const auto dtype = dtype_from_name(value["dtype"].get<std::string>());
  if (!dtype) {
    return candidate_error(where + ": element type " + value["dtype"].get<std::string>() + " is not supported",
                           "BF16, F16, F32 and F8_E4M3 can be read");
  }
  entry.tensor.dtype = *dtype;
  for (const json& extent : value["shape"]) {
    if (!is_count(extent)) { return malformed("the shape is not a list of sizes"); }
    entry.tensor.shape.push_back(extent.get<int64_t>());
  }
  const json& offsets = value["data_offsets"];
  if (!is_count(offsets[0]) || !is_count(offsets[1])) { return malformed("data_offsets are not two sizes"); }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data.size()) {
    return malformed("data_offsets [" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) +
                     "] leave the file, which has " + std::to_string(data.size()) + " bytes of data: it is truncated");
  }
  if (tensor_bytes(entry.tensor.shape, vflow::dtype_bytes(*dtype)) != entry.end - entry.begin) {
    return malformed("shape and data_offsets disagree");
  }
  entry.tensor.data = data.data() + entry.begin;
  return entry;
}

// The shard files that an index names, sorted; they must be plain names beside it.
Result<std::vector<std::string>> shard_names(const std::filesystem::path& index_path) {
  VORTEX_ASSIGN(const std::string text, read_file(index_path));
  const json index = parse_json(text);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return candidate_error(index_path.string() + " is not a safetensors index: it lacks the object \"weight_map\"");
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos) {
      return candidate_error(index_path.string() + ": tensor " + tensor + " does not name a file beside the index");
    }
    names.insert(name);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

// The files in a folder that hold a model's weights.
Result<std::vector<std::string>> weight_files(const std::filesystem::path& folder) {
  std::error_code ec;
  if (std::filesystem::exists(folder / kWhole, ec)) { return std::vector<std::string>{kWhole}; }
  const std::filesystem::path index_path = folder / "model.safetensors.index.json";
  if (!std::filesystem::exists(index_path, ec)) {
    return candidate_error(folder.string() + " has no weights: neither model.safetensors nor its index is there");
  }
  return shard_names(index_path);
}

}  // namespace

Result<std::map<std::string, Tensor>> parse_safetensors(std::string_view bytes, const std::string& name) {
  if (bytes.size() < 8) { return candidate_error(name + " is truncated: shorter than the length of its header"); }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < 8; ++i) { header_bytes |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i); }
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - 8) {
    return candidate_error(name + " is truncated or not a safetensors file: its header claims " +
                           std::to_string(header_bytes) + " bytes");
  }
  const std::string_view data = bytes.substr(8 + header_bytes);
  const json header = parse_json(bytes.substr(8, header_bytes));
  if (!header.is_object()) { return candidate_error(name + ": the header is not a JSON object"); }

  std::map<std::string, Tensor> tensors;
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [key, value] : header.items()) {
    if (key == "__metadata__") { continue; }
    VORTEX_ASSIGN(Entry entry, parse_entry(value, data, name + ", tensor " + key));
    spans.emplace_back(entry.begin, entry.end);
    tensors.emplace(key, std::move(entry.tensor));
  }
  std::sort(spans.begin(), spans.end());
  uint64_t covered = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != covered) {
      return candidate_error(name + ": tensors overlap or leave a gap at byte " + std::to_string(begin));
    }
    covered = end;
  }
  if (covered != data.size()) {
    return candidate_error(name + ": " + std::to_string(data.size() - covered) + " bytes follow the last tensor");
  }
  return tensors;
}

Result<Checkpoint> open_checkpoint(const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const std::vector<std::string> names, weight_files(folder));
  Checkpoint checkpoint;
  std::string digest;
  for (const std::string& name : names) {
    VORTEX_ASSIGN(MappedFile file, MappedFile::open(folder / name));
    VORTEX_ASSIGN(auto tensors, parse_safetensors(file.bytes(), (folder / name).string()));
    for (auto& [key, tensor] : tensors) {
      if (!checkpoint.tensors.emplace(key, std::move(tensor)).second) {
        return candidate_error(folder.string() + ": tensor " + key + " is in two shards");
      }
    }
    digest += name + " " + sha256_hex(file.bytes()) + "\n";
    checkpoint.files.push_back(std::move(file));
  }
  checkpoint.hash = sha256_hex(digest);
  return checkpoint;
}

Status check_model_files(const std::filesystem::path& folder) {
  const auto find = [](const std::filesystem::path& path) -> Status {
    std::error_code ec;
    if (std::filesystem::exists(path, ec)) { return ok_status(); }
    return candidate_error(path.string() + " is not there");
  };
  VORTEX_TRY(find(folder));
  for (const char* name : {"config.json", "tokenizer.json"}) { VORTEX_TRY(find(folder / name)); }
  VORTEX_ASSIGN(const std::vector<std::string> weights, weight_files(folder));
  for (const std::string& name : weights) { VORTEX_TRY(find(folder / name)); }
  return ok_status();
}

}  // namespace vortex::model
