#include "core/engine/cuda/gemm_cache.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::engine {
namespace {

constexpr int kFormat = 1;

nlohmann::json to_json(const TunedProduct& product) {
  return {{"skinny", product.skinny},       {"groups", product.groups},      {"split", product.split},
          {"algorithm", product.algorithm}, {"seconds", product.seconds},    {"cublas_seconds", product.cublas_seconds},
          {"timed", product.timed},         {"differing", product.differing}};
}

TunedProduct from_json(const nlohmann::json& json) {
  TunedProduct product;
  json.at("skinny").get_to(product.skinny);
  json.at("groups").get_to(product.groups);
  json.at("split").get_to(product.split);
  json.at("algorithm").get_to(product.algorithm);
  json.at("seconds").get_to(product.seconds);
  json.at("cublas_seconds").get_to(product.cublas_seconds);
  json.at("timed").get_to(product.timed);
  json.at("differing").get_to(product.differing);
  return product;
}

// Of what was read, so that a changed digit anywhere shows, and so does another shape's file.
std::string checksum(const std::string& identity, const TunedProduct& product) {
  return sha256_hex(identity + to_json(product).dump());
}

}  // namespace

// Names a shape and everything else that a choice follows from.
std::string GemmCache::identity_of(const GemmShape& s) const {
  const nlohmann::json identity = {kFormat, context_, s.n, s.k, s.rows, s.stride, s.fp32, s.swiglu};
  return sha256_hex(identity.dump());
}

std::filesystem::path GemmCache::path_of(const std::string& identity) const {
  return folder_ / (identity.substr(0, 32) + ".json");
}

std::optional<TunedProduct> GemmCache::find(const GemmShape& shape) const {
  if (folder_.empty()) { return std::nullopt; }
  const std::string identity = identity_of(shape);
  const Result<std::string> text = read_file(path_of(identity));
  if (!text.ok()) { return std::nullopt; }
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    const TunedProduct product = from_json(json.at("product"));
    if (json.at("sha256") == checksum(identity, product)) { return product; }
  } catch (const nlohmann::json::exception&) {  // damaged
  }
  return std::nullopt;
}

void GemmCache::keep(const GemmShape& shape, const TunedProduct& product) const {
  if (folder_.empty()) { return; }
  const std::string identity = identity_of(shape);
  const nlohmann::json json = {
      {"context", context_}, {"sha256", checksum(identity, product)}, {"product", to_json(product)}};
  (void)write_file_atomic(path_of(identity), json.dump());
}

}  // namespace vortex::engine
