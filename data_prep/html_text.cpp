#include "data_prep/html_text.h"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

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

constexpr std::size_t kLargest = 1'000'000'000;  // bytes of a page: libxml2 decodes into twice as many, counted in an int
// Elements open at once. libxml2 looks each end tag up among all of them, so 2 MB of stray end tags take half a minute
// here.
constexpr std::size_t kDeepest = 25'000;

std::string_view view(const xmlChar* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }
std::string_view view(const xmlChar* text, int size) {
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

template <std::size_t N>
bool among(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// The value of an element's attribute, given as name, value, name, value, ..., null.
std::optional<std::string_view> attribute(const xmlChar* const* attributes, std::string_view name) {
  for (; attributes != nullptr && *attributes != nullptr; attributes += 2) {
    if (view(attributes[0]) == name) return view(attributes[1]);
  }
  return std::nullopt;
}

bool is_skipped(std::string_view name, const xmlChar* const* attributes) {
  if (among(name, kSkipped) || attribute(attributes, "hidden")) return true;
  const auto classes = attribute(attributes, "class");
  return classes == "navheader" || classes == "navfooter" || attribute(attributes, "role") == "navigation";
}

// The name without its namespace: Word's <o:p> ends lines as <p> does.
std::string_view local_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  const bool has_prefix = colon != std::string_view::npos && colon != 0 && colon + 1 != name.size();
  return has_prefix ? name.substr(colon + 1) : name;
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

// Takes the text from the parser as it reads. No tree is built: libxml2 ends a tree, and with it the text, at 256 open
// elements (an unclosed <b> or <font> stays open to the end of the page) and at 10 MB of text in one place.
class PageReader {
 public:
  explicit PageReader(xmlParserCtxt& parser) : parser_(parser) {
    xmlSAXHandler handler{};
    handler.startElement = [](void* self, const xmlChar* name, const xmlChar** attributes) noexcept {
      static_cast<PageReader*>(self)->start(local_name(view(name)), attributes);
    };
    handler.endElement = [](void* self, const xmlChar*) noexcept { static_cast<PageReader*>(self)->end(); };
    handler.characters = handler.cdataBlock = [](void* self, const xmlChar* text, int size) noexcept {
      static_cast<PageReader*>(self)->add(view(text, size));
    };
    *parser.sax = handler;
    parser.userData = this;
  }

  bool too_deep() const { return too_deep_; }
  std::string take() { return lines_.take(); }

 private:
  struct Element {
    bool shown = true;
    bool block = false;
    bool preformatted = false;
  };

  void start(std::string_view name, const xmlChar* const* attributes) {
    Element element = open_.empty() ? Element() : open_.back();
    element.shown = element.shown && !is_skipped(name, attributes);
    element.block = element.shown && among(name, kBlocks);
    element.preformatted = element.preformatted || name == "pre" || name == "textarea";
    open_.push_back(element);
    if (element.block) lines_.end_line();
    if (element.shown && (name == "td" || name == "th")) lines_.add_blank();
    if (open_.size() <= kDeepest) return;
    too_deep_ = true;
    xmlStopParser(&parser_);
  }
  void end() {
    if (open_.empty()) return;
    if (open_.back().block) lines_.end_line();
    open_.pop_back();
  }
  void add(std::string_view text) {
    if (!open_.empty() && open_.back().shown) lines_.add(text, open_.back().preformatted);
  }

  xmlParserCtxt& parser_;
  std::vector<Element> open_;  // the page's stack of elements, <html> first
  Lines lines_;
  bool too_deep_ = false;
};

// Why the parser left a part of the page unread; empty if it read all of it.
std::string unread(xmlParserCtxt& parser, const PageReader& reader) {
  if (reader.too_deep()) return str("more than ", kDeepest, " elements are open there, none of them closed");
  if (parser.disableSAX != 0) {
    const xmlError* error = xmlCtxtGetLastError(&parser);
    std::string why = error == nullptr || error->message == nullptr ? "no reason given" : error->message;
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return str("the HTML parser gave up: ", why);
  }
  const xmlParserInput& input = *parser.input;
  const std::size_t undecoded = input.buf == nullptr || input.buf->raw == nullptr ? 0 : xmlBufUse(input.buf->raw);
  if (undecoded != 0) return str("its last ", undecoded, " bytes do not go on in the page's charset");
  const bool only_nul = std::all_of(input.cur, input.end, [](xmlChar c) { return c == 0; });
  return only_nul ? "" : "a NUL character stands there";
}

// The charset that the page says it is in, in small letters; empty if it says nothing.
std::string declared_charset(std::string_view html) {
  std::string head(html.substr(0, 1024));
  for (char& c : head) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr std::string_view kKey = "charset";
  const auto key = head.find(kKey);
  if (key == head.npos) return {};
  const auto first = head.find_first_not_of(" \t\r\n=\"'", key + kKey.size());
  if (first == head.npos) return {};
  return head.substr(first, head.find_first_of(" \t\r\n\"'>;/", first) - first);
}

// Whether a page with bytes that are not UTF-8 is UTF-8 all the same: it says so or, where it says nothing, holds
// characters of several bytes. The parser would take all behind the first such byte for ISO-8859-1. `cleaned`: the page as
// UTF-8.
bool is_damaged_utf8(std::string_view html, std::string_view cleaned) {
  if (html.starts_with("\xFF\xFE") || html.starts_with("\xFE\xFF")) return false;  // UTF-16 and UTF-32
  const std::string charset = declared_charset(html);
  if (!charset.empty()) return charset == "utf-8" || charset == "utf8";
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  for (std::size_t at = 0; at < cleaned.size(); ++at) {
    if (static_cast<unsigned char>(cleaned[at]) < 0x80) continue;
    if (cleaned.substr(at, kReplacement.size()) != kReplacement) return true;
    at += kReplacement.size() - 1;
  }
  return false;
}

std::string page_text(const std::string& page, bool utf8, const std::string& origin) {
  if (page.empty()) return {};
  const std::unique_ptr<xmlParserCtxt, void (*)(xmlParserCtxt*)> parser(
      xmlCreateMemoryParserCtxt(page.data(), static_cast<int>(page.size())), xmlFreeParserCtxt);
  if (parser == nullptr) throw DataError(str("cannot read ", origin, ": no memory for an HTML parser"));
  PageReader reader(*parser);
  htmlCtxtUseOptions(parser.get(), HTML_PARSE_RECOVER | (utf8 ? HTML_PARSE_IGNORE_ENC : 0));
  xmlDictSetLimit(parser->dict, 0);  // else names are dropped once all of them have 10 MB
  parser->html = 1;                  // or the charset is switched as in XML, line by line
  if (utf8) xmlSwitchToEncoding(parser.get(), xmlFindCharEncodingHandler("UTF-8"));
  htmlParseDocument(parser.get());
  const std::string why = unread(*parser, reader);
  if (why.empty()) return reader.take();
  throw DataError(str("cannot read ", origin, " behind line ", parser->input->line, ": ", why,
                      "; mend the page (as UTF-8, without NUL, its tags closed) or leave it out"));
}

}  // namespace

std::string html_text(std::string_view html, const std::string& origin, text::CleanCounts& cleaned) {
  static const bool ready = (xmlInitParser(), true);  // once, before any thread parses
  static_cast<void>(ready);
  xmlSetStructuredErrorFunc(nullptr, [](void*, auto*) {});  // this thread's; else some errors go to standard error
  text::CleanCounts counts;
  std::string page = text::clean_utf8(html, counts);
  const bool utf8 = counts.invalid_utf8 == 0 || is_damaged_utf8(html, page);
  if (!utf8) page = html;
  if (page.size() > kLargest) {
    throw DataError(str("cannot read ", origin, ": expected an HTML page of at most ", kLargest, " bytes, found ",
                        page.size(), "; split it"));
  }
  const std::string text = page_text(page, utf8, origin);
  if (utf8) cleaned += counts;
  return utf8 ? text : text::clean_utf8(text, cleaned);
}

}  // namespace ulmfit::data_prep
