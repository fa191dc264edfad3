#include "base/escape.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/text.h"

namespace vortex {
namespace {

// What a proposer may write where it is asked for a name, a rationale, a comment; and what a diagnostic may quote.
const std::vector<std::string> kHostile = {
    "../../etc/passwd",
    "/any/where/NAME",
    "..",
    "-rf",
    "",
    "$(touch /tmp/owned) `id` ; rm -rf ~ & | > x",
    "it's \"quoted\" \\ and \\",
    "\x1b[2J\x1b]0;title\x07 \x9b cut \xc2\x9b 31m \x7f \r\b",
    "right \xe2\x80\xae to left \xe2\x81\xa6 \xe2\x80\xa8 next line",
    "<script>alert('x')</script> <img src=x onerror=\"alert(1)\"> &amp;",
    "```\n# not ours\n![x](http://a/b) [y](javascript:z) | cell | **bold** _x_ ~~~",
    "````\n`````",
    "*/ int x = 1; /* \\\n#define a b\n// \\",
    "?"
    "?/\nint owned();",
    std::string("null \0 byte", 11),
    "\xff\xfe no UTF-8 \xc0\x80",
    std::string(60'000, '9'),
};

bool has_control(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) { return true; }
    if (byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) { return true; }
    if (text.compare(i, 3, "\xe2\x80\xae") == 0 || text.compare(i, 3, "\xe2\x81\xa6") == 0) { return true; }
  }
  return false;
}

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) { return out; }
  std::array<char, 4096> buffer{};
  for (size_t n = 0; (n = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) { out.append(buffer.data(), n); }
  ::pclose(pipe);
  return out;
}

TEST(Escape, PlainNames) {
  for (const char* name : {"block_topk", "a", "_", "9", "Quest-2_b"}) { EXPECT_TRUE(is_plain_name(name)) << name; }
  for (const char* name : {"", "-a", ".a", "a.b", "a b", "a/b", "a\n", "\xc3\xbc"}) {
    EXPECT_FALSE(is_plain_name(name)) << name;
  }
  EXPECT_TRUE(is_plain_name(std::string(kMaxNameBytes, 'a')));
  EXPECT_FALSE(is_plain_name(std::string(kMaxNameBytes + 1, 'a')));
  for (const std::string& text : kHostile) { EXPECT_FALSE(is_plain_name(text)) << text.substr(0, 40); }
}

TEST(Escape, APathComponentStaysInItsFolder) {
  for (const std::string& text : kHostile) {
    const std::string name = path_component(text);
    EXPECT_EQ((std::filesystem::path("/out") / (name + ".py")).lexically_normal().parent_path(), "/out") << name;
    EXPECT_NE(name[0], '.');
    EXPECT_NE(name[0], '-');
    EXPECT_LE(name.size(), kMaxNameBytes + 1);
  }
  EXPECT_EQ(path_component("quest"), "quest");
}

TEST(Escape, AShellGivesBackTheWord) {
  for (const std::string& text : kHostile) {
    if (text.find('\0') != std::string::npos || text.size() > 1000) { continue; }  // no argument can be that
    EXPECT_EQ(output_of("printf %s " + shell_word(text)), text);
  }
  EXPECT_EQ(shell_word("models/chain-4m"), "models/chain-4m");
}

TEST(Escape, ATerminalOnlyShowsIt) {
  for (const std::string& text : kHostile) {
    EXPECT_FALSE(has_control(terminal_text(text))) << text.substr(0, 40);
    EXPECT_EQ(terminal_line(text).find_first_of("\n\t"), std::string::npos);
  }
  EXPECT_EQ(terminal_text("gr\xc3\xb6\xc3\x9f"
                          "e \xe2\x82\xac\n\t."),
            "gr\xc3\xb6\xc3\x9f"
            "e \xe2\x82\xac\n\t.");
}

TEST(Escape, JsonMeansTheSame) {
  using nlohmann::json;
  for (const std::string& text : kHostile) {
    const json value = {{"text", text}};
    const std::string dumped = value.dump(2, ' ', false, json::error_handler_t::replace);
    const std::string shown = terminal_json(dumped);
    EXPECT_FALSE(has_control(shown)) << shown.substr(0, 60);
    EXPECT_EQ(json::parse(shown), json::parse(dumped));
  }
}

TEST(Escape, MarkdownMeansNothing) {
  for (const std::string& text : kHostile) {
    const std::string inline_text = markdown_text(text);
    EXPECT_EQ(inline_text.find('\n'), std::string::npos);
    for (size_t i = 0; i < inline_text.size(); ++i) {
      if (std::string("`*[]<>|#!").find(inline_text[i]) == std::string::npos) { continue; }
      size_t slashes = 0;
      while (slashes < i && inline_text[i - 1 - slashes] == '\\') { ++slashes; }
      EXPECT_EQ(slashes % 2, 1U) << inline_text;
    }
    // The fence that opens the block is the only line that can close it.
    const std::string block = markdown_code("python", text);
    const std::vector<std::string> lines = split_lines(block);
    const std::string fence = lines.back();
    EXPECT_EQ(lines[0], fence + "python");
    for (size_t i = 1; i + 1 < lines.size(); ++i) { EXPECT_NE(lines[i].substr(0, fence.size()), fence) << block; }
    EXPECT_NE(block.find(text), std::string::npos);
  }
  EXPECT_EQ(markdown_text("block_topk: 3 of 4"), "block_topk: 3 of 4");
}

TEST(Escape, HtmlHoldsNoMarkup) {
  for (const std::string& text : kHostile) {
    EXPECT_EQ(html_text(text).find_first_of("<>\"'"), std::string::npos);
    EXPECT_FALSE(has_control(html_text(text)));
  }
  EXPECT_EQ(html_text("a & b < c"), "a &amp; b &lt; c");
}

// One program with every hostile text as an identifier, a comment and a string; it must compile, and print the strings.
TEST(Escape, CppIsOneTokenEach) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "vortex-escape";
  std::filesystem::create_directories(folder);
  std::string source = "#include <cstdio>\n";
  std::string body;
  std::string expected;
  for (size_t i = 0; i < kHostile.size(); ++i) {
    const std::string text = kHostile[i].substr(0, 300);
    const std::string name = cpp_identifier(text) + "_" + std::to_string(i);
    source += cpp_comment(text) + "static const char " + name + "[] = " + cpp_string(text) + ";\n";
    body += "  std::fwrite(" + name + ", 1, sizeof " + name + " - 1, stdout);\n";
    expected += text;
  }
  source += "int main() {\n" + body + "}\n";
  FILE* file = std::fopen((folder / "a.cpp").c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fwrite(source.data(), 1, source.size(), file);
  std::fclose(file);
  const std::string program = (folder / "a").string();
  EXPECT_EQ(
      output_of("c++ -std=c++20 -Wall -Werror -trigraphs " + (folder / "a.cpp").string() + " -o " + program + " 2>&1"),
      "");
  EXPECT_EQ(output_of(program), expected);
  std::filesystem::remove_all(folder);
}

TEST(Clipped, KeepsCharactersWholeAndTheLimit) {
  EXPECT_EQ(clipped("short", 5), "short");
  EXPECT_EQ(clipped("abcdefgh", 6), "abc...");
  EXPECT_EQ(clipped("ab\xe2\x82\xac xyz", 7), "ab...");
  EXPECT_EQ(clipped_middle("0123456789", 9), "012...789");
  EXPECT_EQ(clipped(std::string(100, '\x80'), 10), "...");
  for (const std::string& text : kHostile) {
    EXPECT_LE(clipped(text, 40).size(), 40U);
    EXPECT_LE(clipped_middle(text, 40).size(), 40U);
  }
}

}  // namespace
}  // namespace vortex
