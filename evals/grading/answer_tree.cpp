#include "evals/grading/answer_tree.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/text.h"
#include "evals/grading/expression.h"
#include "evals/grading/inequality.h"
#include "evals/grading/lexer.h"
#include "evals/grading/names.h"
#include "evals/grading/scan.h"

namespace vortex::evals {
namespace {

constexpr size_t kMaxParts = 64;     // of a list
constexpr int kMaxDepth = 12;        // of lists and sets within each other
constexpr size_t kMaxPlusMinus = 3;  // of an item

struct Range {
  size_t begin;
  size_t end;
};

struct Piece {
  Range range;
  Joint before;
};

class Reader {
 public:
  explicit Reader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Node run() { return list({0, tokens_.size()}); }

 private:
  using K = TokenKind;

  bool is(size_t at, K kind, std::string_view text) const { return at < tokens_.size() && tokens_[at].is(kind, text); }
  size_t find(Range range, K kind, std::string_view text) const {
    return find_at_top(tokens_, range.begin, range.end, kind, text);
  }
  std::string text_of(Range range) const {
    std::string text;
    for (size_t i = range.begin; i < range.end; ++i) { text += tokens_[i].text + ' '; }
    return text;
  }
  Node unread(Range range) const {
    Node node;
    node.text = text_of(range);
    return node;
  }

  // --- lists

  Joint joint_at(size_t at) const {
    const Token& token = tokens_[at];
    if (token.kind == K::kWord && is_and(token.text)) { return Joint::kAnd; }
    if (token.kind == K::kWord && is_or(token.text)) { return Joint::kOr; }
    if (token.is(K::kSign, ",")) { return Joint::kComma; }
    return token.is(K::kSign, ";") ? Joint::kSemicolon : Joint::kNone;
  }

  std::vector<Piece> pieces_of(Range range) const {
    std::vector<Piece> pieces;
    size_t begin = range.begin;
    Joint before = Joint::kNone;
    for (size_t i = range.begin; i <= range.end; ++i) {
      const Joint joint = i == range.end ? Joint::kComma : joint_at(i);
      if (joint != Joint::kNone) {
        if (i > begin) {
          pieces.push_back({{begin, i}, before});
          before = joint;
        } else if (before != Joint::kNone || joint > before) {
          before = std::max(before, joint);  // ", and"
        }
        begin = i + 1;
      } else if (tokens_[i].kind == K::kOpen) {
        i = tokens_[i].match;
      }
    }
    return pieces;
  }

  // x = 1, y = 2; x = 3, y = 4 is a list of two pairs.
  static std::vector<std::vector<Node>> grouped(std::vector<Item>& items) {
    std::vector<std::vector<Node>> groups;
    for (auto& [joint, nodes] : items) {
      if (groups.empty() || joint == Joint::kSemicolon || joint == Joint::kAnd || joint == Joint::kOr) {
        groups.emplace_back();
      }
      for (Node& node : nodes) { groups.back().push_back(node); }
    }
    return groups;
  }

  static bool are_records(const std::vector<std::vector<Node>>& groups, bool semicolons) {
    const std::vector<Node>& first = groups.front();
    bool named = true;
    for (const auto& group : groups) {
      if (group.size() != first.size() || first.size() < 2) { return false; }
      for (size_t i = 0; i < first.size(); ++i) {
        named = named && !name_in(group[i]).empty() && name_in(group[i]) == name_in(first[i]);
      }
    }
    return groups.size() > 1 && (named || semicolons);
  }

  static std::string name_in(const Node& node) {
    return node.kind == NodeKind::kEquation ? node.parts.front().as_name : std::string();
  }

  Node list(Range range) {
    if (++depth_ > kMaxDepth) {
      --depth_;
      return unread(range);
    }
    std::vector<Item> items;
    bool semicolons = false;
    const std::vector<Piece> pieces = pieces_of(range);
    for (const Piece& piece : pieces) {
      if (items.size() > kMaxParts) { break; }
      items.push_back({piece.before, item(piece.range)});
      semicolons = semicolons || piece.before == Joint::kSemicolon;
    }
    --depth_;
    if (items.empty() || items.size() > kMaxParts) { return unread(range); }
    if (items.size() == 1 && items[0].nodes.size() == 1) { return std::move(items[0].nodes[0]); }
    if (auto held = held_together(items)) { return *held; }
    Node made;
    made.kind = NodeKind::kList;
    made.text = text_of(range);
    const auto groups = grouped(items);
    const bool records = are_records(groups, semicolons);
    for (const auto& group : groups) {
      if (records) {
        Node tuple;
        tuple.kind = NodeKind::kTuple;
        tuple.brackets = "()";
        for (const Node& node : group) {
          tuple.parts.push_back(node.kind == NodeKind::kEquation ? node.parts.back() : node);
        }
        made.parts.push_back(tuple);
      } else {
        made.parts.insert(made.parts.end(), group.begin(), group.end());
      }
    }
    return made;
  }

  // --- items

  // One answer, or several where it has a plus-minus sign.
  std::vector<Node> item(Range range) {
    while (range.begin + 1 < range.end && tokens_[range.begin].kind == K::kWord &&
           is_harmless(tokens_[range.begin].text)) {
      ++range.begin;
    }
    char choice = '\0';
    if (const size_t length = choice_tokens(range, choice); length > 0) { range.begin += length; }
    std::vector<size_t> signs;
    for (size_t i = range.begin; i < range.end; ++i) {
      if (is(i, K::kCommand, "pm") || is(i, K::kCommand, "mp")) { signs.push_back(i); }
      if (is(i, K::kOpen, "set")) { i = tokens_[i].match; }
    }
    std::vector<Node> nodes;
    const bool in_braces = is(range.begin, K::kOpen, "{") && tokens_[range.begin].match == range.end - 1;
    if (signs.empty() || in_braces) {
      nodes.push_back(relation(range));
    } else {
      nodes = spelled_out(range, signs);
    }
    for (Node& node : nodes) { node.choice = choice; }
    return nodes;
  }

  // "(B)", "B." or "Option" before an answer.
  size_t choice_tokens(Range range, char& choice) const {
    const auto letter = [&](size_t at) {
      const bool fits = at < range.end && tokens_[at].kind == K::kLetter && tokens_[at].text.size() == 1;
      return fits && tokens_[at].text[0] >= 'A' && tokens_[at].text[0] <= 'H' ? tokens_[at].text[0] : '\0';
    };
    const size_t at = range.begin;
    if (is(at, K::kOpen, "(") && letter(at + 1) != '\0' && tokens_[at].match == at + 2 && at + 3 < range.end) {
      if (joint_at(at + 3) != Joint::kNone || tokens_[at + 3].kind == K::kSign || !apart(at + 3)) { return 0; }
      choice = letter(at + 1);
      return 3;
    }
    if (letter(at) != '\0' && at + 2 < range.end && (is(at + 1, K::kSign, ".") || is(at + 1, K::kSign, ":"))) {
      choice = letter(at);
      return 2;
    }
    const std::string word = at + 1 < range.end ? lower_ascii(tokens_[at].text) : "";
    const bool named = word == "option" || word == "choice" || word == "answer";
    return named && (letter(at + 1) != '\0' || is(at + 1, K::kOpen, "(")) ? 1 : 0;
  }
  bool apart(size_t at) const { return tokens_[at].spaced || tokens_[at].upright || tokens_[at - 1].upright; }

  std::vector<Node> spelled_out(Range range, const std::vector<size_t>& signs) {
    const bool opposite = std::any_of(signs.begin(), signs.end(), [&](size_t at) { return is(at, K::kCommand, "mp"); });
    const bool brackets = signs.size() > 1 && tokens_[range.begin].kind == K::kOpen;
    if (signs.size() > kMaxPlusMinus || (brackets && !opposite)) { return {unread(range)}; }
    const size_t free = opposite ? 1 : signs.size();
    const std::vector<Token> kept = tokens_;
    std::vector<Node> nodes;
    for (size_t choice = 0; choice < (size_t{1} << free); ++choice) {
      for (size_t i = 0; i < signs.size(); ++i) {
        const bool minus = (choice >> (opposite ? 0 : i) & 1) != 0;
        Token& token = tokens_[signs[i]];
        token = {K::kSign, minus != (kept[signs[i]].text == "mp") ? "-" : "+", false, false, 0};
      }
      nodes.push_back(relation(range));
    }
    tokens_ = kept;
    return nodes;
  }

  // --- relations

  static char relation_of(const Token& token) {
    if (token.kind == K::kSign && (token.text == "=" || token.text == "<" || token.text == ">")) {
      return token.text[0];
    }
    if (token.kind != K::kCommand) { return '\0'; }
    constexpr std::array<std::pair<std::string_view, char>, 6> kRelations = {
        {{"le", 'l'}, {"ge", 'g'}, {"ne", '!'}, {"approx", '~'}, {"in", 'i'}, {"equiv", '='}}};
    for (const auto& [name, sign] : kRelations) {
      if (token.text == name) { return sign; }
    }
    return '\0';
  }

  Node relation(Range range) {
    std::vector<Node> sides;
    std::string signs;
    size_t begin = range.begin;
    for (size_t i = range.begin; i <= range.end; ++i) {
      const char sign = i == range.end ? '.' : relation_of(tokens_[i]);
      if (sign != '\0') {
        if (signs.size() > kMaxParts) { return unread(range); }
        sides.push_back(side({begin, i}));
        signs += sign;
        begin = i + 1;
      } else if (tokens_[i].kind == K::kOpen) {
        i = tokens_[i].match;
      }
    }
    signs.pop_back();
    if (signs.empty()) { return std::move(sides.front()); }
    Node node = related(std::move(sides), signs);
    node.text = text_of(range);
    return node;
  }

  Node related(std::vector<Node> sides, std::string signs) {
    std::vector<Node> rough;
    if (const size_t about = signs.find('~'); about != std::string::npos) {
      if (about == 0 && !sides[0].as_name.empty() && signs.size() == 1) {
        signs[0] = '=';  // x \approx 11
      } else {
        rough.push_back(sides.back());
        sides.resize(about + 1);
        signs.resize(about);
      }
    }
    Node node;
    if (signs.empty()) {
      node = std::move(sides.front());
    } else if (signs == "i") {
      node = member(sides[0], std::move(sides[1]));
    } else if (signs.find_first_not_of('=') == std::string::npos) {
      node.kind = NodeKind::kEquation;
      node.parts = std::move(sides);
      const bool unknown = std::any_of(node.parts.begin(), node.parts.end(), [](const Node& side) {
        return side.kind == NodeKind::kUnread && side.as_name.empty();
      });
      if (unknown) { node.kind = NodeKind::kUnread; }
    } else if (signs.find_first_not_of("<>lg!") == std::string::npos) {
      node = inequality_of(sides, signs);
    }
    node.rough = std::move(rough);
    return node;
  }

  static Node member(const Node& of, Node set) {
    if (of.as_name.empty()) { return {}; }
    if (set.name.empty()) { set.name = of.as_name; }
    return set;
  }

  // --- sides

  Node side(Range range) {
    Node node = ++depth_ > kMaxDepth || range.begin >= range.end ? unread(range) : structure(range);
    --depth_;
    if (node.text.empty()) { node.text = text_of(range); }
    if (node.as_name.empty()) {
      const Name name = name_of(tokens_, range.begin, range.end);
      node.as_name = name.text;
      node.descriptive = name.descriptive;
    }
    return node;
  }

  Node structure(Range range) {
    const Token& first = tokens_[range.begin];
    if (first.kind == K::kOpen && first.match == range.end - 1) {
      if (auto node = bracketed(range)) { return *node; }
    }
    if (range.end - range.begin == 1 && first.kind == K::kCommand) {
      if (first.text == "reals" || first.text == "emptyset") {
        return reals(first.text == "reals" ? all_reals() : RealSet());
      }
    }
    if (auto node = set_operation(range)) { return *node; }
    if (auto node = modular(range)) { return *node; }
    if (auto node = ratio(range)) { return *node; }
    if (auto term = evaluate(tokens_, range.begin, range.end)) { return scalar(std::move(*term)); }
    return with_words(range);
  }

  static Node scalar(Term term) {
    Node node;
    node.kind = NodeKind::kNumber;
    if (!term.is_matrix()) {
      if (const auto edge = edge_of(term.value); edge && edge->infinite == 0) { node.reals = one_point(*edge); }
    }
    node.term = std::move(term);
    return node;
  }

  static Node reals(RealSet set) {
    Node node;
    node.kind = NodeKind::kReals;
    node.reals = std::move(set);
    return node;
  }

  std::optional<Node> bracketed(Range range) {
    const Range inside = {range.begin + 1, range.end - 1};
    const std::string& open = tokens_[range.begin].text;
    if (open == "{") { return inside.begin == inside.end ? unread(range) : list(inside); }
    if (open == "set") { return set(inside); }
    if (open != "(" && open != "[" && open != "angle") { return std::nullopt; }
    const bool commas = find(inside, K::kSign, ",") < inside.end;
    const bool semicolons = find(inside, K::kSign, ";") < inside.end;
    if (commas || semicolons) { return tuple(range, semicolons ? ";" : ","); }
    const bool alone = open == "(" && tokens_[range.end - 1].text == ")" && inside.begin < inside.end;
    return alone ? std::optional(relation(inside)) : std::nullopt;
  }

  Node tuple(Range range, std::string_view separator) {
    Node node;
    node.kind = NodeKind::kTuple;
    const std::string open = tokens_[range.begin].text;
    node.brackets = open == "angle" ? "()" : open + tokens_[range.end - 1].text;
    size_t begin = range.begin + 1;
    while (begin < range.end && node.parts.size() <= kMaxParts) {
      const size_t end = std::min(find({begin, range.end - 1}, K::kSign, separator), range.end - 1);
      std::vector<Node> parts = begin < end ? item({begin, end}) : std::vector<Node>();
      if (parts.size() != 1 || parts[0].kind == NodeKind::kUnread) { return unread(range); }
      node.parts.push_back(std::move(parts[0]));
      begin = end + 1;
    }
    if (node.parts.size() > kMaxParts) { return unread(range); }
    const auto interval = interval_of(node);
    if (interval) { node.reals = RealSet{*interval}; }
    if (!interval && node.brackets != "()" && node.brackets != "[]" && node.parts.size() != 2) { return unread(range); }
    return node;
  }

  static std::optional<Span> interval_of(const Node& tuple) {
    if (tuple.parts.size() != 2) { return std::nullopt; }
    std::array<Edge, 2> edges;
    for (size_t i = 0; i < 2; ++i) {
      const Node& part = tuple.parts[i];
      const auto edge =
          part.kind == NodeKind::kNumber && !part.term.is_matrix() ? edge_of(part.term.value) : std::nullopt;
      if (!edge) { return std::nullopt; }
      edges[i] = *edge;
    }
    if (!is_below(edges[0], edges[1]) && !same_edge(edges[0], edges[1])) { return std::nullopt; }
    return Span{edges[0], edges[1], tuple.brackets[0] == '(', tuple.brackets[1] == ')'};
  }

  Node set(Range inside) {
    if (inside.begin == inside.end) { return reals({}); }
    size_t bar = find(inside, K::kCommand, "mid");
    for (const std::string_view sign : {"|", ":"}) {
      const size_t place = find(inside, K::kSign, sign);
      const bool twice = place < inside.end && find({place + 1, inside.end}, K::kSign, sign) < inside.end;
      if (bar == inside.end && place < inside.end && !(sign == "|" && twice)) { bar = place; }
    }
    if (bar < inside.end) { return such_that({inside.begin, bar}, {bar + 1, inside.end}); }
    Node node = list(inside);
    if (node.kind == NodeKind::kUnread) { return node; }
    if (node.kind != NodeKind::kList) {
      Node only;
      only.parts.push_back(std::move(node));
      node = std::move(only);
    }
    node.kind = NodeKind::kSet;
    RealSet points;
    for (const Node& part : node.parts) {
      if (part.kind != NodeKind::kNumber || !part.reals) { return node; }
      points = unite(points, *part.reals);
    }
    node.reals = points;
    return node;
  }

  // \{x \in \mathbb{R} \mid x > 3\}
  Node such_that(Range of, Range condition) {
    const Node member = of.begin < of.end ? relation(of) : Node();
    const std::string& name = member.name.empty() ? member.as_name : member.name;
    const Node held = list(condition);
    if (name.empty() || held.kind != NodeKind::kInequality || held.name != name || !held.reals) {
      return unread({of.begin, condition.end});
    }
    return reals(member.reals && !member.name.empty() ? intersect(*member.reals, *held.reals) : *held.reals);
  }

  std::optional<Node> set_operation(Range range) {
    std::vector<Node> parts;
    std::string signs;
    size_t begin = range.begin;
    for (size_t i = range.begin; i <= range.end; ++i) {
      char sign = '\0';
      if (i == range.end) { sign = '.'; }
      if (is(i, K::kCommand, "cup")) { sign = 'u'; }
      if (is(i, K::kCommand, "cap")) { sign = 'n'; }
      const bool without_reals = is(i, K::kSign, "-") && i > 0 && is(i - 1, K::kCommand, "reals");
      if (is(i, K::kCommand, "setminus") || without_reals) { sign = 'm'; }
      if (sign != '\0') {
        if (sign == '.' && signs.empty()) { return std::nullopt; }
        if (signs.size() > kMaxParts) { return unread(range); }
        parts.push_back(side({begin, i}));
        signs += sign;
        begin = i + 1;
      } else if (tokens_[i].kind == K::kOpen) {
        i = tokens_[i].match;
      }
    }
    return combined(range, std::move(parts), signs);
  }

  Node combined(Range range, std::vector<Node> parts, const std::string& signs) const {
    const bool known = std::all_of(parts.begin(), parts.end(), [](const Node& part) {
      return part.reals && part.kind != NodeKind::kNumber && part.kind != NodeKind::kInequality;
    });
    if (!known) {
      Node node = unread(range);
      const bool readable = std::all_of(parts.begin(), parts.end(), [](const Node& part) {
        return part.kind == NodeKind::kTuple || part.kind == NodeKind::kSet || part.kind == NodeKind::kReals;
      });
      if (!readable || signs.find_first_not_of("u.") != std::string::npos) { return node; }
      node.kind = NodeKind::kUnion;
      node.parts = std::move(parts);
      return node;
    }
    RealSet set = *parts[0].reals;
    for (size_t i = 1; i < parts.size(); ++i) {
      const RealSet& other = *parts[i].reals;
      set = signs[i - 1] == 'u' ? unite(set, other) : intersect(set, signs[i - 1] == 'n' ? other : complement(other));
    }
    return reals(set);
  }

  // 7 \pmod{10}, 7 (mod 10)
  std::optional<Node> modular(Range range) {
    size_t at = find(range, K::kCommand, "pmod");
    size_t begin = at + 1;
    size_t end = range.end;
    if (at == range.end && range.end - range.begin > 3 && is(range.end - 1, K::kClose, ")")) {
      const size_t open = tokens_[range.end - 1].match;
      if (open > range.begin && is(open + 1, K::kCommand, "bmod")) {
        at = open;
        begin = open + 2;
        end = range.end - 1;
      }
    }
    if (at == range.end) { return std::nullopt; }
    const auto of = evaluate(tokens_, range.begin, at);
    const auto by = evaluate(tokens_, begin, end);
    const auto modulus = by ? pure(*by) : std::nullopt;
    if (!of || !modulus || of->is_matrix()) { return unread(range); }
    Node node = scalar(*of);
    node.modulus = modulus;
    return node;
  }

  // 3 : 4 : 5, 3 to 4, and the time 4:45 p.m.
  std::optional<Node> ratio(Range range) {
    Node node;
    const Token& last = tokens_[range.end - 1];
    if (last.kind == K::kWord && range.end - range.begin > 1 &&
        (lower_ascii(last.text) == "am" || lower_ascii(last.text) == "pm")) {
      node.daytime = lower_ascii(last.text);
      --range.end;
    }
    size_t begin = range.begin;
    for (size_t i = range.begin; i <= range.end; ++i) {
      if (i == range.end || is(i, K::kSign, ":") || is(i, K::kWord, "to")) {
        if (i == range.end && node.parts.empty() && node.daytime.empty()) { return std::nullopt; }
        if (node.parts.size() > kMaxParts) { return std::nullopt; }
        auto term = evaluate(tokens_, begin, i);
        if (!term || !pure(*term)) { return std::nullopt; }
        node.parts.push_back(scalar(std::move(*term)));
        node.parts.back().text = text_of({begin, i});
        begin = i + 1;
      } else if (tokens_[i].kind == K::kOpen) {
        i = tokens_[i].match;
      }
    }
    node.kind = NodeKind::kRatio;
    return node;
  }

  // Words alone, or a number with unknown words behind it.
  Node with_words(Range range) const {
    Node node = unread(range);
    size_t first = range.end;
    bool words = true;
    for (size_t i = range.end; i > range.begin; --i) {
      const Token& token = tokens_[i - 1];
      const bool in_words = token.kind == K::kWord || (token.kind == K::kLetter && token.upright) ||
                            (first != range.end && (token.text == "-" || token.text == "'"));
      words = words && in_words;
      if (words) { first = i - 1; }
    }
    const std::string letters = letters_of({first, range.end});
    if (first == range.end || letters.empty()) { return node; }
    if (first == range.begin) {
      node.kind = NodeKind::kWords;
      node.text = letters;
      return node;
    }
    auto term = evaluate(tokens_, range.begin, first);
    if (!term) { return node; }
    node = scalar(std::move(*term));
    node.words = letters;
    return node;
  }

  std::string letters_of(Range range) const {
    std::string letters;
    for (size_t i = range.begin; i < range.end; ++i) {
      if (tokens_[i].kind == K::kWord || tokens_[i].kind == K::kLetter) { letters += lower_ascii(tokens_[i].text); }
    }
    return letters;
  }

  std::vector<Token> tokens_;
  int depth_ = 0;
};

}  // namespace

Node read_answer(std::string_view text, bool merge_commas) {
  Lexed lexed = lex(text, merge_commas);
  if (lexed.balanced && !lexed.tokens.empty()) { return Reader(std::move(lexed.tokens)).run(); }
  Node node;
  for (const Token& token : lexed.tokens) { node.text += token.text + ' '; }
  return node;
}

}  // namespace vortex::evals
