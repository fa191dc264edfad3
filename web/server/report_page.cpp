#include "web/server/report_page.h"

#include <array>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/sha256.h"
#include "web/server/assets.h"
#include "web/server/json.h"

namespace vortex::web {
namespace {

using nlohmann::json;

constexpr size_t kMostRecords = 150;  // candidates that are in the file as a whole
constexpr size_t kMostRows = 5000;    // of the list of all
constexpr size_t kPage = 500;

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  size_t from = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, from)) {
    out += std::string(text.substr(from, at - from)) + std::string(by);
    from = at + what.size();
  }
  return out + std::string(text.substr(from));
}

std::string html_escaped(std::string_view text) {
  return replaced(replaced(replaced(text, "&", "&amp;"), "<", "&lt;"), ">", "&gt;");
}

// RFC 4648, of bytes in hexadecimal.
std::string base64(const std::string& hex) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 6) {  // three bytes are four digits
    const std::string part = hex.substr(i, 6);
    const unsigned long bits = std::stoul(part + std::string(6 - part.size(), '0'), nullptr, 16);
    for (size_t digit = 0; digit < 4; ++digit) {
      const bool filled = digit <= part.size() / 2;
      out += filled ? kDigits[(bits >> (18 - 6 * digit)) & 63u] : '=';
    }
  }
  return out;
}

std::string source_hash(const std::string& text) { return "'sha256-" + base64(sha256_hex(text)) + "'"; }

// What the server would answer, by the path that the page asks for.
class Answers {
 public:
  explicit Answers(Api& api) : api_(api) {}

  // `path`: as the page writes it, with `query` behind it. Missing answers stay missing: the page says so.
  json ask(const std::string& path, const std::string& query_name = "", const std::string& query = "") {
    Request request{"GET", {}, {}, ""};
    size_t begin = 0;
    while (begin <= path.size()) {
      const size_t end = std::min(path.find('/', begin), path.size());
      request.path.push_back(path.substr(begin, end - begin));
      begin = end + 1;
    }
    if (!query.empty()) { request.query[query_name] = query; }
    const Response response = api_.handle(request);
    if (response.status != 200) { return nullptr; }
    const std::string name = query.empty() ? path : path + "?" + query_name + "=" + query;
    texts_.emplace_back(name, response.body);
    return parsed(response.body);
  }

  void put(const std::string& path, const json& answer) { texts_.emplace_back(path, dumped(answer)); }

  std::string text() const {
    std::string out;
    for (const auto& [name, body] : texts_) { out += (out.empty() ? "" : ",") + json(name).dump() + ":" + body; }
    return "{" + out + "}";
  }

 private:
  Api& api_;
  std::vector<std::pair<std::string, std::string>> texts_;
};

// Those that a reader will want to open, the likeliest first.
std::vector<int64_t> worth_opening(const LiveRun& run, const json& overview, const json& failures) {
  std::deque<int64_t> open;
  if (overview["best"].is_object()) { open.push_back(overview["best"]["candidate"].get<int64_t>()); }
  for (const json& member : overview["front"]) { open.push_back(member["candidate"].get<int64_t>()); }
  for (const json& mark : overview["marks"]) {
    if (mark["starred"].get<bool>()) { open.push_back(mark["candidate"].get<int64_t>()); }
  }
  std::set<int64_t> known;
  std::vector<int64_t> chosen;
  run.with_board([&](const study::Board&, const LiveRun::Parents& parents) {
    while (!open.empty()) {
      const int64_t candidate = open.front();
      open.pop_front();
      if (!known.insert(candidate).second) { continue; }
      chosen.push_back(candidate);
      const auto found = parents.find(candidate);
      if (found == parents.end()) { continue; }
      for (const db::LineageEdge& edge : found->second) { open.push_back(edge.parent); }
    }
    return 0;
  });
  for (const json& failure : failures) {
    const auto example = failure["example"].get<int64_t>();
    if (known.insert(example).second) { chosen.push_back(example); }
  }
  if (chosen.size() > kMostRecords) { chosen.resize(kMostRecords); }
  return chosen;
}

void ask_candidates(Answers& answers, const std::vector<int64_t>& candidates, const json& front) {
  std::set<int64_t> members;
  std::string all;
  for (const json& member : front) {
    members.insert(member["candidate"].get<int64_t>());
    if (members.size() <= 5) { all += (all.empty() ? "" : ",") + std::to_string(member["candidate"].get<int64_t>()); }
  }
  if (members.size() > 1) { answers.ask("compare", "candidates", all); }
  for (const int64_t candidate : candidates) {
    const std::string id = std::to_string(candidate);
    const json record = answers.ask("candidates/" + id);
    if (!record.is_object()) { continue; }
    std::string family = id;
    for (const json& parent : record["parents"]) { family += "," + std::to_string(parent["candidate"].get<int64_t>()); }
    if (family != id) { answers.ask("compare", "candidates", family); }
    if (!members.contains(candidate)) { continue; }
    for (const json& call : record["calls"]) { answers.ask("calls/" + std::to_string(call["id"].get<int64_t>())); }
  }
}

std::string rows_of(Api& api, const std::string& run, size_t& total) {
  std::string rows;
  for (size_t offset = 0; offset < kMostRows; offset += kPage) {
    const Response page = api.handle({"GET",
                                      {"runs", run, "candidates"},
                                      {{"limit", std::to_string(kPage)},
                                       {"offset", std::to_string(offset)},
                                       {"sort", "-candidate"},
                                       {"hidden", "1"}},
                                      ""});
    const json list = parsed(page.body);
    if (page.status != 200 || list["items"].empty()) { break; }
    total = list["total"].get<size_t>();
    const std::string items = dumped(list["items"]);
    rows += (rows.empty() ? "" : ",") + items.substr(1, items.size() - 2);
  }
  return "[" + rows + "]";
}

std::string page_with(const std::string& title, const std::string& data, const std::string& brief) {
  const std::string script = replaced(asset_at("/app.js").bytes, "</script", "<\\/script");
  const std::string style(asset_at("/app.css").bytes);
  const std::string icon = replaced(replaced(asset_at("/icon.svg").bytes, "#", "%23"), "\"", "'");
  const std::string policy = "default-src 'none'; script-src " + source_hash(script) + "; style-src " +
                             source_hash(style) + "; img-src data:; base-uri 'none'; form-action 'none'";
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         policy +
         "\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         html_escaped(title) +
         "</title>\n"
         "<link rel=\"icon\" href=\"data:image/svg+xml," +
         icon + "\">\n<style>" + style +
         "</style>\n</head>\n<body>\n"
         "<div id=\"app\"></div>\n<noscript><pre>" +
         html_escaped(brief) +
         "</pre></noscript>\n"
         // No text of a proposal can end the block: it holds no "<".
         "<script type=\"application/json\" id=\"vortex-report\">" +
         replaced(data, "<", "\\u003c") +
         "</script>\n"
         "<script type=\"module\">" +
         script + "</script>\n</body>\n</html>\n";
}

}  // namespace

Result<std::string> report_page(Api& api, const std::string& run, const std::string& brief) {
  VORTEX_ASSIGN(const std::shared_ptr<LiveRun> live, api.runs().find(run));
  while (!live->all_read()) { VORTEX_TRY(live->refresh()); }
  Answers answers(api);
  json about = parsed(api.handle({"GET", {"about"}, {}, ""}).body);
  about["newest"] = run;
  about["runs"] = {run};  // others are nobody's business who reads of this one
  answers.put("about", about);
  const std::string of_run = "runs/" + run;
  const json overview = answers.ask(of_run + "/overview");
  const json failures = answers.ask(of_run + "/failures");
  for (const char* view : {"lineage", "diversity", "notebook", "environment", "brief"}) {
    answers.ask(of_run + "/" + view);
  }
  if (!overview.is_object() || !failures.is_array()) {
    return internal_error("the search " + run + " cannot be shown as a page");
  }
  const std::vector<int64_t> candidates = worth_opening(*live, overview, failures);
  ask_candidates(answers, candidates, overview["front"]);
  size_t total = 0;
  const std::string rows = rows_of(api, run, total);
  std::string left_out = "It has the front with its ancestors and an example of every failure in full";
  left_out += total > kMostRows ? ", and the newest " + std::to_string(kMostRows) + " candidates as rows." : ".";
  const std::string data = "{\"made\":" + std::to_string(static_cast<int64_t>(wall_seconds())) +
                           ",\"run\":" + json(run).dump() + ",\"left_out\":" + json(left_out).dump() +
                           ",\"candidates\":" + rows + ",\"answers\":" + answers.text() + "}";
  return page_with("vortex: search " + run, data, brief);
}

}  // namespace vortex::web
