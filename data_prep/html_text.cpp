#include "data_prep/html_text.h"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/error.h"

namespace ulmfit::data_prep {
namespace {

constexpr std::string_view kSkipped[] = {"script",   "style", "head",   "nav",     "noscript",
                                         "template", "svg",   "select", "datalist"};
constexpr std::string_view kBlocks[] = {
    "address", "article", "aside",    "blockquote", "body",   "caption", "center", "dd",   "details", "dir", "div",
    "dl",      "dt",      "fieldset", "figcaption", "figure", "footer",  "form",   "h1",   "h2",      "h3",  "h4",
    "h5",      "h6",      "header",   "hr",         "legend", "li",      "main",   "menu", "ol",      "p",   "pre",
    "section", "summary", "table",    "tbody",      "tfoot",  "thead",   "tr",     "ul",   "br"};

std::string_view view(const xmlChar* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }

template <std::size_t N>
bool among(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string attribute(const xmlNode* node, const char* name) {
  xmlChar* value = xmlGetProp(node, reinterpret_cast<const xmlChar*>(name));
  std::string copy(view(value));
  xmlFree(value);
  return copy;
}

bool is_skipped(const xmlNode* node, std::string_view name) {
  if (among(name, kSkipped)) return true;
  if (node->properties == nullptr) return false;
  if (xmlHasProp(node, reinterpret_cast<const xmlChar*>("hidden")) != nullptr) return true;
  const std::string classes = attribute(node, "class");
  return classes == "navheader" || classes == "navfooter" || attribute(node, "role") == "navigation";
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

// Text as a browser lays it out: lines without a blank at either end, none of them empty.
class Lines {
 public:
  void add(std::string_view text, bool preformatted) {
    for (const char c : text) {
      if (preformatted && c == '\n') {
        end_line();
      } else if (is_blank(c)) {
        blank_ = true;
      } else {
        if (blank_ && !text_.empty() && text_.back() != '\n') text_ += ' ';
        blank_ = false;
        text_ += c;
      }
    }
  }
  void add_blank() { blank_ = true; }
  void end_line() {
    if (!text_.empty() && text_.back() != '\n') text_ += '\n';
    blank_ = false;
  }
  std::string take() {
    end_line();
    if (!text_.empty()) text_.pop_back();
    return std::move(text_);
  }

 private:
  std::string text_;
  bool blank_ = false;
};

// Recursion is safe: the parser itself refuses pages nested deeper than 256 elements.
void walk(const xmlNode* node, bool preformatted, Lines& lines) {
  for (; node != nullptr; node = node->next) {
    if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) {
      lines.add(view(node->content), preformatted);
    } else if (node->type == XML_ELEMENT_NODE) {
      const std::string_view name = view(node->name);
      if (is_skipped(node, name)) continue;
      const bool block = among(name, kBlocks);
      if (block) lines.end_line();
      if (name == "td" || name == "th") lines.add_blank();
      walk(node->children, preformatted || name == "pre" || name == "textarea", lines);
      if (block) lines.end_line();
    }
  }
}

}  // namespace

std::string html_text(std::string_view html, const std::string& origin, text::CleanCounts& cleaned) {
  static const bool ready = (xmlInitParser(), true);  // once, before any thread parses
  static_cast<void>(ready);
  text::CleanCounts counts;
  std::string page = text::clean_utf8(html, counts);
  const bool utf8 = counts.invalid_utf8 == 0;
  if (!utf8) page = html;
  if (page.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw DataError(str("cannot read ", origin, ": an HTML page of more than 2 GiB; split it"));
  }
  constexpr int kOptions =
      HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET | HTML_PARSE_COMPACT;
  const std::unique_ptr<xmlDoc, void (*)(xmlDoc*)> document(
      htmlReadMemory(page.data(), static_cast<int>(page.size()), nullptr, utf8 ? "UTF-8" : nullptr, kOptions), xmlFreeDoc);
  Lines lines;
  if (document != nullptr) walk(xmlDocGetRootElement(document.get()), false, lines);
  const std::string text = lines.take();
  if (utf8) cleaned += counts;
  return utf8 ? text : text::clean_utf8(text, cleaned);
}

}  // namespace ulmfit::data_prep
