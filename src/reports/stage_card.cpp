#include "reports/stage_card.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/machine.h"
#include "data/file_lists.h"
#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

using nlohmann::json;

constexpr std::size_t kMostLabels = 100;

// Of a table's cell.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

std::string number(const json& value) {
  const double v = value.get<double>();
  if (v == std::floor(v) && std::abs(v) < 1e15) return grouped(static_cast<std::int64_t>(v));
  return str(v);
}

std::string joined(const json& values) {
  std::string text;
  for (const json& v : values) {
    const std::string value = v.is_string() ? v.get<std::string>() : v.dump();
    if (!value.empty()) text += (text.empty() ? "" : ", ") + value;
  }
  return text.empty() ? "none" : text;
}

std::string files(const json& summary) {
  const auto count = summary.at("files").get<std::uint64_t>();
  return str(count, count == 1 ? " file, " : " files, ", number(summary.at("bytes")),
             " bytes: ", joined(summary.at("first")), count > summary.at("first").size() ? ", ..." : "", " (list ",
             summary.at("list").get<std::string>(), ")");
}

std::string text_of(const json& value) {
  if (value.is_null()) return "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number()) return number(value);
  if (value.is_array()) return joined(value);
  if (!value.is_string()) return value.dump();
  const auto text = value.get<std::string>();
  return text.empty() ? "none" : text;
}

// A row a fact; of facts within facts a row each, with both names.
void write_rows(std::ostream& out, const json& facts, const std::string& before) {
  for (const auto& [key, value] : facts.items()) {
    const std::string name = str(before, before.empty() ? "" : ", ", key);
    if (data::is_file_summary(value)) {
      out << "| " << escaped(name) << " | " << escaped(files(value)) << " |\n";
    } else if (data::is_file(value)) {
      out << "| " << escaped(name) << " | "
          << escaped(
                 str(text_of(value.at("name")), ", ", number(value.at("bytes")), " bytes (", value.value("xxh3", ""), ")"))
          << " |\n";
    } else if (value.is_object() || (value.is_array() && !value.empty() && value.front().is_object())) {
      write_rows(out, value, key == "request" ? before : name);  // the options of prepare-*
    } else {
      out << "| " << escaped(name) << " | " << escaped(text_of(value)) << " |\n";
    }
  }
}

void write_labels(std::ostream& out, const std::vector<std::string>& labels) {
  out << "\n" << labels.size() << " classes: ";
  for (std::size_t i = 0; i < std::min(labels.size(), kMostLabels); ++i) out << (i == 0 ? "" : ", ") << escaped(labels[i]);
  out << (labels.size() > kMostLabels ? ", ... (all in stage.json).\n" : ".\n");
}

// What facts say of it as a text; fetch called it "licence" before 0.2.0.
std::string license_of(const json& facts) {
  for (const char* name : {"license", "licence"}) {
    const auto found = facts.is_object() ? facts.find(name) : facts.end();
    if (found != facts.end() && found->is_string() && !found->get<std::string>().empty()) return found->get<std::string>();
  }
  return "not stated";
}

void write_licenses(std::ostream& out, const std::vector<CardStage>& lineage) {
  if (lineage.empty()) return;
  out << "\n## Licenses\n\n| | |\n|---|---|\n| this model | " << escaped(license_of(lineage.back().facts)) << " |\n";
  for (const CardStage& a : lineage) {
    if (&a != &lineage.back()) out << "| model of " << a.command << " | " << escaped(license_of(a.facts)) << " |\n";
    for (const char* text : {"corpus", "data"}) {
      if (!a.facts.is_object() || !a.facts.contains(text)) continue;
      const json& prepared = a.facts.at(text);
      const bool asked = prepared.is_object() && prepared.contains("request");
      out << "| text of " << a.command << " | " << escaped(license_of(asked ? prepared.at("request") : json())) << " |\n";
    }
  }
}

void write_lineage(std::ostream& out, const std::vector<CardStage>& lineage) {
  out << "\n## Lineage, oldest first\n";
  for (std::size_t i = 0; i < lineage.size(); ++i) {
    const CardStage& a = lineage[i];
    out << "\n### " << i + 1 << ". " << a.command << (a.fingerprint.empty() ? " (this stage)" : "")
        << "\n\n| | |\n|---|---|\n";
    if (!a.fingerprint.empty()) out << "| weights | " << escaped(a.fingerprint) << " |\n";
    write_rows(out, a.facts, "");
  }
}

}  // namespace

std::string stage_card(const CardInfo& info) {
  std::ostringstream out;
  out << "# " << info.title << "\n\n" << info.model << "\n";
  if (!info.labels.empty()) write_labels(out, info.labels);
  out << "\n## Metrics on the validation split\n\n";
  if (info.metrics.empty()) {
    out << "None: there was no validation split.\n";
  } else {
    out << "| | |\n|---|---|\n";
    for (const auto& [key, value] : info.metrics) out << "| " << key << " | " << number(value) << " |\n";
  }
  out << "\nNot measured: results on other text than the validation split, other languages, fairness between groups of "
         "authors, "
      << info.also_not_measured << ".\n";
  write_licenses(out, info.lineage);
  write_lineage(out, info.lineage);
  out << "\nMade on: " << cpu_model() << ".\n\n## Configuration\n\n```\n" << info.config_text << "```\n";
  return out.str();
}

}  // namespace ulmfit::reports
