#include <iostream>
#include <iterator>
#include <memory>

#include "base/json.h"
#include "cli/verbs/verbs.h"
#include "core/model/tokenizer.h"

namespace vortex::cli {
namespace {

struct TokenizeArguments {
  std::string model;
  std::string text;
  bool json_lines = false;
  bool special = false;
};

Result<std::vector<int32_t>> ids_of(const model::Tokenizer& tokenizer, std::string_view text, bool special) {
  VORTEX_ASSIGN(std::vector<int32_t> ids, tokenizer.encode(text));
  return special ? tokenizer.add_special_tokens(std::move(ids)) : ids;
}

// Each line of standard input is a JSON string; its ids go out as a JSON array, an error as {"error": ...}.
Status tokenize_lines(const model::Tokenizer& tokenizer, bool special) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto json = parse_json(line);
    if (!json.is_string()) { return candidate_error("not a JSON string: " + line.substr(0, 80)); }
    const auto ids = ids_of(tokenizer, json.get<std::string>(), special);
    std::cout << (ids.ok() ? nlohmann::json(*ids) : nlohmann::json({{"error", ids.error().message}})).dump() << '\n';
  }
  return ok_status();
}

Result<int> tokenize(const Context& context, const TokenizeArguments& arguments) {
  if (arguments.model.empty()) { return candidate_error("which model?", "name its folder with --model"); }
  VORTEX_ASSIGN(const auto tokenizer, model::load_tokenizer(arguments.model));
  if (arguments.json_lines) {
    VORTEX_TRY(tokenize_lines(*tokenizer, arguments.special));
    return 0;
  }
  std::string text = arguments.text;
  if (text == "-") { text.assign(std::istreambuf_iterator<char>(std::cin), {}); }
  VORTEX_ASSIGN(const std::vector<int32_t> ids, ids_of(*tokenizer, text, arguments.special));
  std::vector<nlohmann::json> tokens;
  Table table({"id", "bytes"});
  for (int32_t id : ids) {
    // As a JSON string, with U+FFFD for parts of characters: white space shows, and the line stays one line.
    const std::string piece =
        nlohmann::json(tokenizer->piece(id, true)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    tokens.push_back({{"id", id}, {"piece", nlohmann::json::parse(piece)}});
    table.add({std::to_string(id), piece});
  }
  if (context.format() == Format::kText) {
    print_table(table);
  } else {
    print_records(context.format(), "token", tokens);
  }
  return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App* verb = add_verb(app, context, "tokenize", "shows the tokens of a text",
                            [&context, arguments] { return tokenize(context, *arguments); });
  verb->add_option("text", arguments->text, "the text; - reads it from standard input");
  verb->add_option("--model", arguments->model, "folder with the tokenizer.json");
  verb->add_flag("--json-lines", arguments->json_lines, "standard input has a JSON string a line; print id lists");
  verb->add_flag("--special", arguments->special, "with the tokens that the model expects around a raw prompt");
  add_format_option(verb, context);
}

}  // namespace vortex::cli
