#include "cli/show/head_chart.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/output.h"

namespace vortex::cli {
namespace {

constexpr std::string_view kMarks = " .:-=+*#%@";
constexpr double kLooksForIt =
    0.1;  // share of true attention on the answer's pages from which a head counts as looking

char mark(double share) {
  if (share < 0) { return '?'; }
  const auto steps = static_cast<double>(kMarks.size() - 1);
  return kMarks[static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * steps))];
}

// heads[name][layer][head], or -1.
double share_at(const nlohmann::json& heads, const char* name, size_t layer, size_t head) {
  if (!heads.contains(name)) { return -1; }
  const nlohmann::json& rows = heads[name];
  if (!rows.is_array() || layer >= rows.size() || !rows[layer].is_array() || head >= rows[layer].size()) { return -1; }
  const nlohmann::json& value = rows[layer][head];
  return value.is_number() ? value.get<double>() : -1;
}

}  // namespace

std::vector<HeadShares> read_heads(const nlohmann::json& evidence) {
  std::vector<HeadShares> heads;
  if (!evidence.is_object() || !evidence.contains("heads") || !evidence["heads"].is_object()) { return heads; }
  const nlohmann::json& json = evidence["heads"];
  const nlohmann::json rows = json.value("mass", nlohmann::json::array());
  for (size_t layer = 0; layer < rows.size(); ++layer) {
    for (size_t head = 0; head < rows[layer].size(); ++head) {
      heads.push_back({static_cast<int>(layer), static_cast<int>(head), share_at(json, "answer", layer, head),
                       share_at(json, "mass", layer, head), share_at(json, "like_oracle", layer, head),
                       share_at(json, "took_answer", layer, head), share_at(json, "oracle_answer", layer, head)});
    }
  }
  return heads;
}

std::vector<HeadShares> answer_heads(std::vector<HeadShares> heads, size_t count) {
  std::stable_sort(heads.begin(), heads.end(),
                   [](const HeadShares& a, const HeadShares& b) { return a.answer > b.answer; });
  heads.resize(std::min(count, heads.size()));
  return heads;
}

std::string head_chart(const std::vector<HeadShares>& heads) {
  std::map<int, std::vector<HeadShares>> layers;
  for (const HeadShares& head : heads) { layers[head.layer].push_back(head); }
  Table table({"layer", "looks for the answer", "takes its pages", "oracle takes them", "shares of oracle's choice"});
  for (const auto& [layer, row] : layers) {
    std::string looks;
    std::string took;
    std::string oracle;
    std::string like;
    for (const HeadShares& head : row) {
      looks += mark(head.answer);
      took += mark(head.took_answer);
      oracle += mark(head.oracle_answer);
      like += mark(head.like_oracle);
    }
    table.add({std::to_string(layer), "|" + looks + "|", "|" + took + "|", "|" + oracle + "|", "|" + like + "|"});
  }
  return table.text();
}

std::string head_summary(const std::vector<HeadShares>& heads) {
  int looking = 0;
  double took = 0;
  double oracle = 0;
  for (const HeadShares& head : heads) {
    if (head.answer < kLooksForIt) { continue; }
    ++looking;
    took += head.took_answer;
    oracle += head.oracle_answer;
  }
  if (looking == 0) {
    return "No kv head gives the right answer's pages a tenth of its attention, or the prompt does not spell it out.";
  }
  return std::to_string(looking) + " of " + std::to_string(heads.size()) +
         " kv heads give the right answer's pages a tenth of their attention or more while it is written. There the "
         "policy takes " +
         fixed(100 * took / looking, 0) + " % of these pages, the oracle at the same budget " +
         fixed(100 * oracle / looking, 0) + " %.";
}

}  // namespace vortex::cli
