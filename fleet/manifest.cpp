#include "fleet/manifest.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/escape.h"
#include "base/files.h"
#include "base/folder_state.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "base/mapped_file.h"
#include "base/sha256.h"

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array<std::string_view, 5> kRead = {".json", ".safetensors", ".jinja", ".txt", ".model"};
constexpr size_t kMostFiles = 4096;

bool is_read(const std::string& name) {
  const std::string kind = fs::path(name).extension().string();
  return std::find(kRead.begin(), kRead.end(), kind) != kRead.end();
}

// The files that count, with what changes when one of them does.
FolderState files_of(const std::string& folder) {
  FolderState state = look_at_folder(folder);
  std::erase_if(state, [](const auto& file) { return !is_read(file.first); });
  return state;
}

json state_json(const std::string& folder, const FolderState& state) { return {{"folder", folder}, {"files", state}}; }

Result<std::string> hash_of_file(const fs::path& path, int64_t bytes) {
  if (bytes == 0) { return sha256_hex({}); }
  VORTEX_ASSIGN(const MappedFile file, MappedFile::open(path));
  return sha256_hex(file.bytes());
}

// What an earlier look wrote down, where the folder is still as it was then.
std::optional<Manifest> recalled(const std::string& folder, const FolderState& state, const std::string& remembered) {
  const Result<std::string> text = remembered.empty() ? Error{} : read_file(remembered);
  if (!text.ok()) { return std::nullopt; }
  const json known = parse_json(*text);
  if (!known.is_object() || known.value("state", json()) != state_json(folder, state)) { return std::nullopt; }
  Result<Manifest> manifest = manifest_from_json(known.value("manifest", json()));
  return manifest.ok() ? std::optional(std::move(manifest).value()) : std::nullopt;
}

}  // namespace

std::string Manifest::hash() const {
  std::string text;
  for (const ModelFile& file : files) {
    text += file.sha256 + " " + std::to_string(file.bytes) + " " + file.name + "\n";
  }
  return sha256_hex(text);
}

json to_json(const Manifest& manifest) {
  json files = json::array();
  for (const ModelFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return files;
}

Result<Manifest> manifest_from_json(const json& object) {
  if (!object.is_array() || object.empty() || object.size() > kMostFiles) {
    return internal_error("a model's manifest must be an array of files");
  }
  Manifest manifest;
  for (const json& item : object) {
    ModelFile file;
    JsonReader reader(item, "file");
    reader.required("name", file.name);
    reader.required("bytes", file.bytes);
    reader.required("sha256", file.sha256);
    if (file.name.empty() || file.name != path_component(file.name)) { reader.refuse("name", "is no plain file name"); }
    if (file.bytes < 0) { reader.refuse("bytes", "must not be negative"); }
    VORTEX_TRY(reader.finish());
    if (!manifest.files.empty() && file.name <= manifest.files.back().name) {
      return internal_error("a model's manifest must be sorted by name");
    }
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

Result<Manifest> manifest_of(const std::string& folder, const std::string& remembered) {
  const FolderState state = files_of(folder);
  if (auto known = recalled(folder, state, remembered)) { return *std::move(known); }
  Manifest manifest;
  for (const auto& [name, about] : state) {
    std::error_code ec;
    const fs::path path = fs::path(folder) / name;
    const auto bytes = static_cast<int64_t>(fs::file_size(path, ec));
    if (name != path_component(name)) { return candidate_error("a model's file cannot be called " + name); }
    VORTEX_ASSIGN(std::string hash, hash_of_file(path, bytes));
    manifest.files.push_back({name, bytes, std::move(hash)});
  }
  if (manifest.files.empty()) { return candidate_error("no model in " + folder); }
  if (!remembered.empty()) {
    const json known = {{"state", state_json(folder, state)}, {"manifest", to_json(manifest)}};
    VORTEX_TRY(write_file_atomic(remembered, known.dump()));
  }
  return manifest;
}

std::string difference_from(const Manifest& manifest, const std::string& folder, const std::string& remembered) {
  const FolderState state = files_of(folder);
  for (const ModelFile& file : manifest.files) {
    std::error_code ec;
    const auto bytes = fs::file_size(fs::path(folder) / file.name, ec);
    if (ec || !state.contains(file.name)) { return file.name + " is not there"; }
    if (static_cast<int64_t>(bytes) != file.bytes) { return file.name + " has another size"; }
  }
  if (state.size() != manifest.files.size()) { return "there are other files beside them"; }
  const Result<Manifest> here = manifest_of(folder, remembered);
  if (!here.ok()) { return here.error().message; }
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    if (here->files[i].sha256 != manifest.files[i].sha256) { return manifest.files[i].name + " has other contents"; }
  }
  return {};
}

}  // namespace vortex::fleet
