#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/escape.h"
#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/tell/explain.h"

namespace vortex::vflow {
namespace {

constexpr double kBoxWidth = 170;
constexpr double kBoxHeight = 40;
constexpr double kGapX = 24;
constexpr double kGapY = 44;
constexpr double kMargin = 24;
constexpr double kTitle = 34;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string svg_text(double x, double y, const std::string& style, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + style + ">" + html_text(text) + "</text>\n";
}

std::string svg_open(double width, double height) {
  const std::string size = number(width) + " " + number(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) + "\" height=\"" + number(height) +
         "\" viewBox=\"0 0 " + size + "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"" +
         number(width) + "\" height=\"" + number(height) + "\" fill=\"#ffffff\"/>\n";
}

// One box of the drawing, or a bend in an edge that passes a layer.
struct Box {
  std::string title;
  std::string detail;
  const char* fill = "#ffffff";
  std::vector<int> parents;  // boxes that it reads
  bool bend = false;
  int layer = 0;
  double x = 0;  // centre
  double y = 0;  // top
};

const char* fill_of(const Node& node) {
  switch (op_info(node.op).reach) {
    case Reach::kLeaf:
      return "#e8eef7";
    case Reach::kRow:
      return "#fdf0d5";
    case Reach::kRoot:
      return "#dff0dc";
    case Reach::kPage:
      break;
  }
  return node.op == Op::kLoad ? "#e8eef7" : "#ffffff";
}

std::string title_of(const Program& program, const Node& node) {
  if (node.op == Op::kQuery) { return "q"; }
  if (node.op == Op::kField) { return program.fields[static_cast<size_t>(node.attrs.field)].name; }
  std::string title(op_info(node.op).name);
  for (const ArgInfo& arg : op_info(node.op).args) {
    const double value = get_arg(node.attrs, arg.arg);
    const bool factor = arg.arg == Arg::kAlpha || arg.arg == Arg::kBeta;
    const bool axis = arg.arg == Arg::kDim && op_info(node.op).reach == Reach::kPage;
    const bool shown = axis || arg.arg == Arg::kScale || arg.arg == Arg::kTolerance || arg.arg == Arg::kInterleave ||
                       arg.arg == Arg::kCount ||
                       (factor && op_info(node.op).uses_alpha_beta && value != arg.default_value);
    if (shown) { title += " " + std::string(arg.name) + "=" + format_number(value); }
  }
  if (node.op == Op::kStore) { title = "write"; }
  if (node.attrs.field >= 0) { title += " " + program.fields[static_cast<size_t>(node.attrs.field)].name; }
  constexpr size_t kLongest = 26;  // what fits into a box
  return title.size() <= kLongest ? title : title.substr(0, kLongest - 2) + "..";
}

std::vector<Box> boxes_of(const Program& program, const Graph& graph) {
  std::vector<Box> boxes;
  for (const Node& node : graph.nodes) {
    Box box;
    box.title = title_of(program, node);
    box.detail = shape_text(node.shape) + " " + std::string(format_name(node.format));
    box.fill = fill_of(node);
    box.parents = node.inputs;
    for (int input : node.inputs) { box.layer = std::max(box.layer, boxes[static_cast<size_t>(input)].layer + 1); }
    boxes.push_back(std::move(box));
  }
  // Everything moves down to just above its first reader, which keeps edges short.
  for (size_t i = boxes.size(); i-- > 0;) {
    int first_reader = -1;
    for (const Box& box : boxes) {
      const bool reads = std::find(box.parents.begin(), box.parents.end(), static_cast<int>(i)) != box.parents.end();
      if (reads && (first_reader < 0 || box.layer < first_reader)) { first_reader = box.layer; }
    }
    if (first_reader > 0) { boxes[i].layer = first_reader - 1; }
  }
  return boxes;
}

// Splits edges that pass layers, so that they go around the boxes there.
void add_bends(std::vector<Box>& boxes) {
  const size_t count = boxes.size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t p = 0; p < boxes[i].parents.size(); ++p) {
      int from = boxes[i].parents[p];
      for (int layer = boxes[static_cast<size_t>(from)].layer + 1; layer < boxes[i].layer; ++layer) {
        Box bend;
        bend.bend = true;
        bend.layer = layer;
        bend.parents = {from};
        from = static_cast<int>(boxes.size());
        boxes.push_back(std::move(bend));
      }
      boxes[i].parents[p] = from;
    }
  }
}

struct Extent {
  double width = 0;
  double height = 0;
};

// Places every layer as a row, its boxes ordered by where their operands are.
Extent place(std::vector<Box>& boxes, double left) {
  int layers = 0;
  for (const Box& box : boxes) { layers = std::max(layers, box.layer + 1); }
  std::vector<std::vector<int>> rows(static_cast<size_t>(layers));
  for (size_t i = 0; i < boxes.size(); ++i) {
    rows[static_cast<size_t>(boxes[i].layer)].push_back(static_cast<int>(i));
  }
  const auto room = [&](int index) { return (boxes[static_cast<size_t>(index)].bend ? 0 : kBoxWidth) + kGapX; };
  std::vector<double> widths;
  for (const std::vector<int>& row : rows) {
    widths.push_back(-kGapX);
    for (int index : row) { widths.back() += room(index); }
  }
  const double width = widths.empty() ? 0 : *std::max_element(widths.begin(), widths.end());
  for (size_t layer = 0; layer < rows.size(); ++layer) {
    std::vector<int>& row = rows[layer];
    const auto centre = [&](int index) {
      const Box& box = boxes[static_cast<size_t>(index)];
      double sum = 0;
      for (int parent : box.parents) { sum += boxes[static_cast<size_t>(parent)].x; }
      return box.parents.empty() ? 1e9 : sum / static_cast<double>(box.parents.size());
    };
    std::stable_sort(row.begin(), row.end(), [&](int a, int b) { return centre(a) < centre(b); });
    // Free width is spread evenly.
    const double extra = (width - widths[layer]) / static_cast<double>(row.size());
    double x = left;
    for (int index : row) {
      Box& box = boxes[static_cast<size_t>(index)];
      const double taken = room(index) + extra;
      box.x = x + (taken - kGapX) / 2;
      box.y = kMargin + kTitle + static_cast<double>(layer) * (kBoxHeight + kGapY);
      x += taken;
    }
  }
  return {width, kMargin + kTitle + static_cast<double>(layers) * (kBoxHeight + kGapY)};
}

std::string draw(const std::vector<Box>& boxes) {
  std::string out;
  for (const Box& box : boxes) {
    for (size_t i = 0; i < box.parents.size(); ++i) {
      const Box& parent = boxes[static_cast<size_t>(box.parents[i])];
      const double from = parent.y + kBoxHeight;
      const double spread = box.parents.size() < 2 ? 0 : (i == 0 ? -0.2 : 0.2) * kBoxWidth;
      const double middle = (from + box.y) / 2;
      out += "<path d=\"M" + number(parent.x) + " " + number(from) + " C" + number(parent.x) + " " + number(middle) +
             " " + number(box.x + spread) + " " + number(middle) + " " + number(box.x + spread) + " " + number(box.y) +
             (box.bend ? " v" + number(kBoxHeight) : "") + "\" fill=\"none\" stroke=\"#667788\"/>\n";
    }
  }
  for (const Box& box : boxes) {
    if (box.bend) { continue; }
    out += "<rect x=\"" + number(box.x - kBoxWidth / 2) + "\" y=\"" + number(box.y) + "\" width=\"" +
           number(kBoxWidth) + "\" height=\"" + number(kBoxHeight) + "\" rx=\"5\" fill=\"" + box.fill +
           "\" stroke=\"#445566\"/>\n";
    out += svg_text(box.x, box.y + 17, "text-anchor=\"middle\" fill=\"#112233\"", box.title);
    out += svg_text(box.x, box.y + 32, "text-anchor=\"middle\" fill=\"#667788\" font-size=\"10\"", box.detail);
  }
  return out;
}

// White for 0 to dark blue for 1.
std::string heat_colour(double value) {
  const double v = std::clamp(value, 0.0, 1.0);
  char text[16];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", static_cast<unsigned>(255 - 221 * v),
                static_cast<unsigned>(255 - 187 * v), static_cast<unsigned>(255 - 115 * v));
  return text;
}

}  // namespace

std::string graph_svg(const Program& program) {
  const Program live = pruned(program);
  std::vector<Box> cache = boxes_of(live, live.cache);
  std::vector<Box> indexer = boxes_of(live, live.indexer);
  add_bends(cache);
  add_bends(indexer);
  const Extent left = place(cache, kMargin);
  const double between = cache.empty() ? 0 : left.width + 2.5 * kMargin;
  const Extent right = place(indexer, kMargin + between);
  const double width = kMargin + between + right.width + kMargin;
  const double height = std::max(left.height, right.height);
  std::string out = svg_open(width, height);
  const std::string heading = "fill=\"#112233\" font-size=\"14\" font-weight=\"bold\"";
  if (!cache.empty()) {
    out += svg_text(kMargin, kMargin + 4, heading, "when a page is full");
    const double x = between - kMargin / 4;
    out += "<line x1=\"" + number(x) + "\" y1=\"8\" x2=\"" + number(x) + "\" y2=\"" + number(height - 8) +
           "\" stroke=\"#ccd4dd\"/>\n";
  }
  out += svg_text(kMargin + between, kMargin + 4, heading, "every decode step");
  return out + draw(cache) + draw(indexer) + "</svg>\n";
}

std::string distance_heatmap_svg(const std::vector<std::string>& names, const std::vector<double>& matrix) {
  constexpr double kCell = 34;
  constexpr double kLetter = 6.6;
  size_t longest = 1;
  for (const std::string& name : names) { longest = std::max(longest, name.size()); }
  const double label = kLetter * static_cast<double>(longest) + 12;
  const size_t n = names.size();
  const double size = kCell * static_cast<double>(n);
  std::string out = svg_open(label + size + kMargin, label + size + kMargin);
  for (size_t i = 0; i < n; ++i) {
    const double at = label + kCell * (static_cast<double>(i) + 0.5);
    out += svg_text(label - 6, at + 4, "text-anchor=\"end\"", names[i]);
    const std::string turned =
        "text-anchor=\"start\" transform=\"rotate(-90 " + number(at + 4) + " " + number(label - 6) + ")\"";
    out += svg_text(at + 4, label - 6, turned, names[i]);
    for (size_t j = 0; j < n; ++j) {
      const double value = matrix[i * n + j];
      const double x = label + kCell * static_cast<double>(j);
      const double y = label + kCell * static_cast<double>(i);
      out += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(kCell) + "\" height=\"" +
             number(kCell) + "\" fill=\"" + heat_colour(value) + "\" stroke=\"#ffffff\"/>\n";
      char text[16];
      std::snprintf(text, sizeof text, "%.2f", value);
      const std::string style = std::string("text-anchor=\"middle\" font-size=\"10\" fill=\"") +
                                (value > 0.55 ? "#ffffff" : "#112233") + "\"";
      out += svg_text(x + kCell / 2, y + kCell / 2 + 4, style, text);
    }
  }
  return out + "</svg>\n";
}

}  // namespace vortex::vflow
