#include "fetch/hub.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "base/text.h"

namespace vortex::fetch {
namespace {

constexpr int kMaxPages = 1000;
constexpr int kMaxRedirects = 10;

// Percent-encoding of a path (RFC 3986); '/' stays.
std::string encoded(const std::string& path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

net::HttpRequest get(const Hub& hub, const std::string& url) {
  net::HttpRequest request;
  request.url = url;
  request.max_redirects = kMaxRedirects;
  // A listing's next page may not send the token elsewhere.
  if (!hub.token.empty() && url.starts_with(hub.endpoint + "/")) {
    request.headers.push_back("Authorization: Bearer " + hub.token);
  }
  return request;
}

Error refusal(const Hub& hub, const std::string& repo, const net::HttpRequest& request, const net::HttpReply& reply) {
  const std::string what = net::describe(request, reply);
  if (reply.failure == net::HttpFailure::kAborted) { return environment_error("stopped"); }
  if (reply.status == 401 || reply.status == 403) {
    return candidate_error(repo + " is not there, or not for you (" + std::to_string(reply.status) + ")",
                           hub.token.empty() ? "check the name; for a gated repository set HF_TOKEN"
                                             : "check the name, and that HF_TOKEN's account was given access");
  }
  if (reply.status == 404) { return candidate_error(repo + ": no such repository or revision", what); }
  return environment_error(what);
}

Result<nlohmann::json> get_json(const Hub& hub, const std::string& repo, const std::string& url,
                                const net::RetryPolicy& retries, const std::function<bool()>& should_stop,
                                std::string* next) {
  const net::HttpRequest request = get(hub, url);
  const net::HttpReply reply = net::http_send_retrying(request, retries, should_stop);
  if (!reply.succeeded()) { return refusal(hub, repo, request, reply); }
  nlohmann::json json = parse_json(reply.body);
  if (json.is_discarded()) { return environment_error(net::describe(request, reply) + ": no JSON"); }
  if (next != nullptr) {  // Link: <URL>; rel="next"
    const std::string link(reply.header("link"));
    const size_t end = link.find(">; rel=\"next\"");
    const size_t begin = end == std::string::npos ? end : link.rfind('<', end);
    *next = begin == std::string::npos ? "" : link.substr(begin + 1, end - begin - 1);
  }
  return json;
}

Result<RemoteFile> file_of(const nlohmann::json& entry) {
  RemoteFile file;
  try {
    entry.at("path").get_to(file.path);
    entry.at("size").get_to(file.size);
    entry.at("oid").get_to(file.git_oid);
    if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
      lfs->at("oid").get_to(file.sha256);
      lfs->at("size").get_to(file.size);
    }
  } catch (const nlohmann::json::exception& error) {
    return environment_error(std::string("the hub's listing makes no sense: ") + error.what());
  }
  if (!is_safe_path(file.path) || file.size < 0) {
    return environment_error("the hub's listing has a file that must not be written: " + file.path);
  }
  return file;
}

std::string api_url(const Hub& hub, RepoKind kind, const std::string& repo) {
  return hub.endpoint + (kind == RepoKind::kModel ? "/api/models/" : "/api/datasets/") + encoded(repo);
}

}  // namespace

NamedRepo named_repo(const std::string& endpoint, std::string_view text) {
  constexpr std::string_view kData = "datasets/";
  constexpr std::string_view kTree = "/tree/";
  NamedRepo named;
  if (text.starts_with(endpoint + "/")) {
    text.remove_prefix(endpoint.size() + 1);
    text = text.substr(0, text.find_first_of("?#"));
  }
  named.data = text.starts_with(kData);
  if (named.data) { text.remove_prefix(kData.size()); }
  while (text.ends_with('/')) { text.remove_suffix(1); }
  const size_t tree = text.find(kTree);
  if (tree != std::string_view::npos) { named.revision = text.substr(tree + kTree.size()); }
  named.repo = text.substr(0, tree);
  return named;
}

bool is_safe_path(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.find('\\') != std::string::npos) { return false; }
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") { return false; }
    begin = end + 1;
  }
  return std::none_of(path.begin(), path.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

Result<Listing> list_files(const Hub& hub, RepoKind kind, const std::string& repo, const std::string& revision,
                           const net::RetryPolicy& retries, const std::function<bool()>& should_stop) {
  Listing listing;
  const std::string base = api_url(hub, kind, repo);
  VORTEX_ASSIGN(const nlohmann::json info,
                get_json(hub, repo, base + "/revision/" + encoded(revision), retries, should_stop, nullptr));
  if (!info.is_object() || !info.contains("sha") || !info["sha"].is_string()) {
    return environment_error("the hub does not say which commit " + revision + " of " + repo + " is");
  }
  listing.commit = info["sha"].get<std::string>();
  std::set<std::string> seen;
  std::string url = base + "/tree/" + encoded(listing.commit) + "?recursive=true";
  for (int page = 0; !url.empty(); ++page) {
    if (page == kMaxPages) { return environment_error("the hub's listing does not end"); }
    std::string next;
    VORTEX_ASSIGN(const nlohmann::json entries, get_json(hub, repo, url, retries, should_stop, &next));
    if (!entries.is_array()) { return environment_error("the hub's listing of " + repo + " is no list"); }
    for (const nlohmann::json& entry : entries) {
      if (!entry.is_object() || entry.value("type", nlohmann::json()) != "file") { continue; }
      VORTEX_ASSIGN(RemoteFile file, file_of(entry));
      if (seen.insert(file.path).second) { listing.files.push_back(std::move(file)); }
    }
    url = next;
  }
  return listing;
}

net::HttpRequest file_request(const Hub& hub, RepoKind kind, const std::string& repo, const std::string& commit,
                              const std::string& path) {
  return get(hub, hub.endpoint + (kind == RepoKind::kModel ? "/" : "/datasets/") + encoded(repo) + "/resolve/" +
                      encoded(commit) + "/" + encoded(path));
}

}  // namespace vortex::fetch
