#include "reports/metrics.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

using Json = nlohmann::ordered_json;  // keeps the order of the keys, and with it that of the layer groups

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string line_of(const Json& object) { return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json to_json(const StepReport& r) {
  Json rates = Json::object();
  double highest = std::nan("");
  for (std::size_t i = 0; i < r.lr.size() && i < r.groups.size(); ++i) rates[r.groups[i]] = number(r.lr[i]);
  for (const double lr : r.lr) highest = std::fmax(highest, lr);
  Json line = {
      {"type", "train"}, {"step", r.step}, {"epoch", number(r.epoch)}, {"phase", r.phase}, {"loss", number(r.loss)}};
  if (r.total_steps > 0) line["total_steps"] = r.total_steps;
  if (r.names.has_perplexity) line["perplexity"] = number(std::exp(r.loss));
  line["lr"] = number(highest);
  line["lr_by_group"] = rates;
  line["beta1"] = number(r.beta1);
  line["grad_norm"] = number(r.grad_norm);
  line[std::string(r.names.rate)] = number(r.rate);
  line["data_wait"] = number(r.data_wait_share);
  line["comm"] = number(r.comm_share);
  line["memory_mb"] = static_cast<double>(r.memory_bytes) / 1e6;
  line["skipped"] = r.skipped_steps;
  line["elapsed_s"] = number(r.elapsed_seconds);
  return line;
}

double number_at(const Json& line, std::string_view key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : std::nan("");
}

std::int64_t integer_at(const Json& line, std::string_view key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

StepReport step_report(const Json& line, const MetricNames& names) {
  StepReport r;
  r.names = names;
  r.step = integer_at(line, "step");
  r.total_steps = integer_at(line, "total_steps");
  r.epoch = number_at(line, "epoch");
  r.phase = integer_at(line, "phase");
  r.loss = number_at(line, "loss");
  if (const auto rates = line.find("lr_by_group"); rates != line.end() && rates->is_object()) {
    for (const auto& [group, rate] : rates->items()) {
      r.groups.push_back(group);
      r.lr.push_back(rate.is_number() ? rate.get<double>() : std::nan(""));
    }
  }
  r.beta1 = number_at(line, "beta1");
  r.grad_norm = number_at(line, "grad_norm");
  r.rate = number_at(line, names.rate);
  r.data_wait_share = number_at(line, "data_wait");
  r.comm_share = number_at(line, "comm");
  const double megabytes = number_at(line, "memory_mb");
  if (megabytes > 0 && megabytes < 1e12) r.memory_bytes = static_cast<std::uint64_t>(std::llround(megabytes * 1e6));
  r.skipped_steps = integer_at(line, "skipped");
  r.elapsed_seconds = number_at(line, "elapsed_s");
  return r;
}

EvaluationReport evaluation_report(const Json& line) {
  EvaluationReport r{integer_at(line, "step"), number_at(line, "epoch"), "", {}};
  for (const auto& [key, value] : line.items()) {
    if (key == "step" || key == "epoch") continue;
    if (key == "split" && value.is_string()) r.split = value.get<std::string>();
    if (value.is_number() || value.is_null()) r.values[key] = number_at(line, key);
  }
  return r;
}

}  // namespace

MetricsLog::MetricsLog(fs::path path, std::int64_t keep_bytes) : path_(std::move(path)), bytes_(keep_bytes) {
  std::error_code missing;
  const auto found = fs::file_size(path_, missing);
  if (const auto size = missing ? 0 : static_cast<std::int64_t>(found); size < keep_bytes) {
    log::warn("train", str(path_.string(), " has ", size, " bytes where the checkpoint counted ", keep_bytes,
                           ": some reports before this restart are missing in it"));
    bytes_ = size;
  }
  cut_back();
}

void MetricsLog::write(const StepReport& report) { append(line_of(to_json(report))); }

void MetricsLog::write(const EvaluationReport& report) {
  Json line = {{"type", "valid"}, {"step", report.step}, {"epoch", number(report.epoch)}, {"split", report.split}};
  for (const auto& [name, value] : report.values) line[name] = number(value);
  append(line_of(line));
}

void MetricsLog::append(const std::string& line) {
  try {
    if (!file_) file_.emplace(path_, OutputFile::Mode::kAppend);
    file_->write(line);
    bytes_ += static_cast<std::int64_t>(line.size());
  } catch (const FileError& e) {
    file_.reset();
    cut_back();  // no half line
    warn_once(e.what());
  }
}

void MetricsLog::cut_back() {
  try {
    truncate_file(path_, static_cast<std::size_t>(bytes_));
  } catch (const FileError& e) {
    warn_once(e.what());
  }
}

void MetricsLog::warn_once(const std::string& reason) {
  if (std::exchange(warned_, true)) return;
  log::warn("train", str("metrics not written, training goes on (", reason, "); further failures are not shown"));
}

MetricsHistory read_metrics(const fs::path& path, const MetricNames& names) {
  MetricsHistory history;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return history;
  for (const std::string& text : read_lines(path)) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("type")) continue;
    if (line["type"] == "train") history.train.push_back(step_report(line, names));
    if (line["type"] == "valid") history.valid.push_back(evaluation_report(line));
  }
  return history;
}

const EvaluationReport* MetricsHistory::best(const MetricNames& names) const {
  const EvaluationReport* found = nullptr;
  const std::string headline(names.best_by_headline ? names.headline : "loss");
  const auto score = [&](const EvaluationReport& r) { return std::pair(r.values.at(headline), r.values.at("loss")); };
  for (const EvaluationReport& r : valid) {
    if (r.split != "valid" || !r.values.contains("loss") || !r.values.contains(headline)) continue;
    if (!std::isfinite(score(r).first) || !std::isfinite(score(r).second)) continue;
    if (found == nullptr || score(r) < score(*found)) found = &r;
  }
  return found;
}

std::string headline_text(const MetricNames& names, const std::map<std::string, double>& values) {
  const auto found = values.find(std::string(names.headline));
  if (found == values.end()) return "none";
  return names.headline_is_share ? percent(found->second) : significant(found->second, 4);
}

}  // namespace ulmfit::reports
