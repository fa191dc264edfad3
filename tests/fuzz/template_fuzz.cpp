// Any bytes as a chat template: refused with its line, or a text that is well-formed UTF-8 and the same every time.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/model/jinja/template.h"
#include "core/model/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::model;
  using jinja::Value;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = jinja::Template::parse(source);
  if (!parsed.ok()) {
    if (!parsed.error().message.starts_with("chat template, ")) { __builtin_trap(); }
    return 0;
  }
  const auto message = [](const char* role, const char* content) {
    return *jinja::make_dict({{"role", role}, {"content", content}});
  };
  jinja::Inputs inputs;
  inputs.variables = {
      {"messages", *jinja::make_list({message("system", "s"), message("user", " \u00fc\n<think>a</think> ")})},
      {"tools", Value(jinja::None{})},
      {"add_generation_prompt", Value(true)},
      {"bos_token", "<s>"}};
  inputs.unknown = {"eos_token"};
  inputs.date = "2024-07-26";
  const auto first = parsed->render(inputs);
  const auto second = parsed->render(inputs);
  if (first.ok() != second.ok()) { __builtin_trap(); }
  if (!first.ok()) {
    if (!first.error().message.starts_with("chat template, ")) { __builtin_trap(); }
    return 0;
  }
  if (first->text != second->text || find_invalid_utf8(first->text)) { __builtin_trap(); }
  return 0;
}
