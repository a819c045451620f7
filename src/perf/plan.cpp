#include "perf/plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "perf/measurements.h"
#include "perf/scaling_model.h"
#include "reports/number_format.h"

namespace ulmfit::perf {
namespace {

constexpr std::int64_t kMostRanks = 1024;
constexpr double kWorthwhile = 1.25;  // doubling the ranks must bring that much

// The JSON line of a benchmark.
class Result {
 public:
  Result(const std::string& path, const std::string& bench) : path_(path), bench_(bench) {
    try {
      line_ = parse_json(read_file(path));
    } catch (const nlohmann::json::exception&) {  // told below
    }
    if (!line_.is_object() || !line_.contains("bench") || line_.at("bench") != bench) {
      throw DataError(str("plan: ", path, " is not a result of ulmfit bench ", bench, "; make one with: ulmfit bench ",
                          bench, " ... > ", path));
    }
  }

  bool has(const std::string& key) const { return line_.contains(pointer(key)); }
  // A number within bounds; "a/b" is b of the object a.
  double number(const std::string& key, double min, double max) const {
    const nlohmann::json found = has(key) ? line_.at(pointer(key)) : nlohmann::json();
    const bool fits = found.is_number() && found.get<double>() >= min && found.get<double>() <= max;
    require(fits, key, found.dump(), str("a number from ", min, " to ", max));
    return found.get<double>();
  }
  std::int64_t whole(const std::string& key, double min, double max) const {
    const double value = number(key, min, max);
    require(value == std::floor(value), key, str(value), "a whole number");
    return static_cast<std::int64_t>(value);
  }

 private:
  static nlohmann::json::json_pointer pointer(const std::string& key) { return nlohmann::json::json_pointer("/" + key); }
  void require(bool holds, const std::string& key, const std::string& found, const std::string& expected) const {
    if (!holds)
      throw DataError(
          str("plan: ", path_, ", a result of bench ", bench_, ": ", key, " is ", found, ", expected ", expected));
  }

  std::string path_;
  std::string bench_;
  nlohmann::json line_;
};

struct Inputs {
  model::Shape shape;
  std::int64_t streams = 0;  // of one rank
  Training training;
  Cluster cluster;
  double tokens_per_s = 0;
  std::optional<double> optimizer_share;  // of a step
};

// Speed, and with a file the shape that it was measured at.
void read_speed(const PlanOptions& options, Inputs& in) {
  in.shape = options.shape;
  in.shape.vocabulary = options.vocabulary;
  in.tokens_per_s = options.tokens_per_s;
  in.streams = options.streams;
  in.training.batch_tokens = static_cast<double>(options.streams * options.bptt);
  if (options.speed.empty()) {
    if (options.tokens_per_s <= 0) {
      throw ConfigError(
          "plan needs the speed of one rank: --speed FILE with the line of `ulmfit bench lm > FILE`, or --tokens-per-s");
    }
    return;
  }
  const Result result(options.speed, "lm");
  result.whole("ranks", 1, 1);  // of several the sums are in it, and would count twice
  in.shape = {result.whole("vocab", 1, 1e8), result.whole("embedding", 1, 1e6), result.whole("hidden", 1, 1e6),
              result.whole("layers", 1, 64)};
  in.tokens_per_s = result.number("tokens_per_s", 1e-3, 1e12);
  in.streams = result.whole("streams", 1, 1 << 24);
  in.training.batch_tokens = static_cast<double>(in.streams * result.whole("bptt", 1, 100000));
  if (result.has("phases/optimizer")) in.optimizer_share = result.number("phases/optimizer", 0, 1);
}

// `nodes`: measured between nodes, one rank on each; else inside one.
Network network_of(const std::string& file, bool nodes, double alpha_us, double gb_per_s) {
  if (!file.empty()) {
    const Result result(file, "allreduce");
    const std::int64_t ranks = result.whole("ranks", 2, 1e6);
    const std::int64_t local = result.whole("local_ranks", 1, 1e6);
    if (local != (nodes ? 1 : ranks)) {
      throw DataError(str("plan: ", file, " was measured with ", local, " of ", ranks, " ranks on a node; ",
                          nodes ? "--allreduce-nodes takes one rank on each" : "--allreduce takes all on one"));
    }
    alpha_us = result.number("alpha_us", 0, 1e9);
    gb_per_s = result.number("gb_per_s", 1e-6, 1e6);
  }
  return {alpha_us * 1e-6, 1e-9 / gb_per_s};
}

Inputs inputs_of(const PlanOptions& options) {
  Inputs in;
  read_speed(options, in);
  in.cluster = {network_of(options.allreduce, /*nodes=*/false, options.alpha_us, options.gb_per_s),
                network_of(options.allreduce_nodes, /*nodes=*/true, options.node_alpha_us, options.node_gb_per_s),
                options.ranks_per_node, options.node_cards == 0 ? options.ranks_per_node : options.node_cards};
  in.training.compute_seconds = in.training.batch_tokens / in.tokens_per_s;
  in.training.gradient_bytes =
      static_cast<double>((in.shape.encoder_parameters() + in.shape.vocabulary) * options.gradient_bytes);
  in.training.overlap = options.overlap;
  in.training.jitter = options.jitter;
  in.training.critical_batch = options.critical_batch;
  return in;
}

nlohmann::json row_of(const PlanOptions& options, const Inputs& in, std::int64_t ranks) {
  const double n = static_cast<double>(ranks);
  const double batch = n * in.training.batch_tokens;
  const double rate = batch / step_seconds(in.training, in.cluster, ranks);
  return {{"ranks", ranks},
          {"batch_tokens", batch},
          {"steps", std::ceil(options.tokens / batch) * static_cast<double>(options.epochs)},  // the last window is shorter
          {"step_ms", step_seconds(in.training, in.cluster, ranks) * 1e3},
          {"all_reduce_ms", in.cluster.all_reduce_seconds(ranks, in.training.gradient_bytes) * 1e3},
          {"efficiency", efficiency(in.training, in.cluster, ranks)},
          {"tokens_per_s", rate},
          {"hours", options.tokens * static_cast<double>(options.epochs) / rate / 3600},
          {"quality_speedup", quality_speedup(in.training, in.cluster, ranks)},
          {"rank_mb", model::training_bytes(in.shape, in.training.batch_tokens, 1) / 1e6},
          {"rank_mb_sharded_optimizer", model::training_bytes(in.shape, in.training.batch_tokens, ranks) / 1e6}};
}

std::string cell(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string row_text(const nlohmann::json& row) {
  const auto value = [&](const char* name) { return row.at(name).get<double>(); };
  const auto whole = [&](const char* name) { return reports::grouped(std::llround(value(name))); };
  return cell(whole("batch_tokens"), 11) + cell(whole("steps"), 11) + cell(reports::significant(value("step_ms"), 3), 9) +
         cell(reports::significant(value("all_reduce_ms"), 3), 11) + cell(reports::percent(value("efficiency")), 11) +
         cell(whole("tokens_per_s"), 12) + cell(reports::significant(value("hours"), 3), 9) +
         cell(reports::significant(value("quality_speedup"), 3), 11) + cell(whole("rank_mb"), 9) +
         cell(whole("rank_mb_sharded_optimizer"), 9);
}

// The most ranks of the rows that still shorten the way to the same quality enough.
std::int64_t last_worthwhile(const nlohmann::json& rows) {
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const double gain = rows[i]["quality_speedup"].get<double>() / rows[i - 1]["quality_speedup"].get<double>();
    const double doublings = std::log2(rows[i]["ranks"].get<double>() / rows[i - 1]["ranks"].get<double>());
    if (std::pow(gain, 1 / doublings) < kWorthwhile) return rows[i - 1]["ranks"];
  }
  return rows.back()["ranks"];
}

void warn_of_memory(double rank_mb) {
  const double available = static_cast<double>(std::min(available_memory_bytes(), available_address_space_bytes())) / 1e6;
  if (rank_mb <= available) return;
  log::warn("plan", str("a rank needs at least ", reports::grouped(std::llround(rank_mb)), " MB, and on this machine ",
                        reports::grouped(std::llround(available)), " MB are free"));
}

// `most`: ranks of the last row.
std::string notes(const PlanOptions& options, const Inputs& in, std::int64_t worthwhile, std::int64_t most) {
  std::string text =
      str("  Memory is a lower bound: weights, gradients, moments, and what backward keeps of a window.\n",
          "  Steps to the same quality grow with the batch as 1 + ", reports::grouped(std::llround(options.critical_batch)),
          " / tokens says (--critical-batch, an assumption: it differs by data set);\n  ");
  text += worthwhile < most ? str("beyond ", worthwhile, " ranks doubling them shortens the run by less than ", kWorthwhile,
                                  " times: the batch is too large. Use fewer streams a rank, or a larger corpus.\n")
                            : str("up to ", most, " ranks each doubling is worth it.\n");
  text += "  Sharding the optimizer's state over N ranks would save the moments but for one N-th (last column)";
  if (in.optimizer_share) {
    text += str(" and at most ", reports::percent(*in.optimizer_share), " of a step; the bytes sent stay the same");
  }
  return text + ".\n";
}

}  // namespace

void PlanOptions::declare(config::OptionSet& set) {
  set.add("speed", speed, "line of `ulmfit bench lm` on one rank: speed, model, vocabulary, streams and window are its");
  set.add("tokens-per-s", tokens_per_s, "without --speed: tokens/s of one rank", {.min = 0});
  set.add("vocab", vocabulary, "without --speed: words", {.min = 16, .max = 1e8});
  set.add("streams", streams, "without --speed: streams of one rank (training: --train.streams-per-rank)",
          {.min = 1, .max = 1 << 24});
  set.add("bptt", bptt, "without --speed: tokens of a window", {.min = 1, .max = 100000});
  set.add("tokens", tokens, "tokens of the training text (WikiText-103 has 103 million)", {.min = 1, .max = 1e15});
  set.add("epochs", epochs, "passes over it", {.min = 1, .max = 1e6});
  set.add("allreduce", allreduce, "line of `mpirun -n N ulmfit bench allreduce` inside one node");
  set.add("allreduce-nodes", allreduce_nodes, "the same with one rank on each of several nodes");
  set.add("alpha-us", alpha_us, "without --allreduce: microseconds a step of a sum inside a node", {.min = 0});
  set.add("gb-per-s", gb_per_s, "without --allreduce: GB/s of a rank inside a node", {.min = 1e-6});
  set.add("node-alpha-us", node_alpha_us, "without --allreduce-nodes: microseconds a step between nodes", {.min = 0});
  set.add("node-gb-per-s", node_gb_per_s, "without --allreduce-nodes: GB/s of a network card between nodes", {.min = 1e-6});
  set.add("ranks-per-node", ranks_per_node, "ranks of a node", {.min = 1, .max = 1024});
  set.add("node-cards", node_cards, "network cards of a node, which its ranks share; 0: one for each rank",
          {.min = 0, .max = 1024});
  set.add("gradient-bytes", gradient_bytes, "bytes of a gradient value on the wire: 4, or 2 for bfloat16",
          {.min = 1, .max = 8});
  set.add("overlap", overlap, "share of the gradient whose sum runs beside backward; 0: none, as on CPUs",
          {.min = 0, .max = 1});
  set.add("jitter", jitter, "standard deviation of one rank's step time, as a share of it", {.min = 0, .max = 10});
  set.add("critical-batch", critical_batch,
          "tokens of a batch at which twice as many steps are needed as it would take with endless batches",
          {.min = 1, .max = 1e15});
  stages::declare(set, shape);
  set.add_common(
      {"speed", "tokens-per-s", "tokens", "epochs", "allreduce", "allreduce-nodes", "ranks-per-node", "overlap"});
}

Measured plan(const PlanOptions& options) {
  const Inputs in = inputs_of(options);
  nlohmann::json rows = nlohmann::json::array();
  Table table(str("plan: AWD-LSTM ", in.shape.embedding, "/", in.shape.hidden, " x ", in.shape.layers, ", ",
                  in.shape.vocabulary, " words, ", reports::grouped(std::llround(in.training.batch_tokens)),
                  " tokens a step and rank at ", reports::grouped(std::llround(in.tokens_per_s)), " tokens/s, ",
                  reports::significant(in.training.gradient_bytes / 1e6, 4), " MB of gradients"));
  table.add("ranks", cell("batch", 11) + cell("steps", 11) + cell("step ms", 9) + cell("sum ms", 11) +
                         cell("efficiency", 11) + cell("tokens/s", 12) + cell("hours", 9) + cell("quality x", 11) +
                         cell("MB", 9) + cell("sharded", 9));
  std::vector<std::int64_t> counts{1, 2, 4};
  for (std::int64_t ranks = 8; ranks <= kMostRanks; ranks *= 2) counts.push_back(ranks);
  for (const std::int64_t ranks : counts) {
    // Training refuses streams without a token to predict.
    if (options.tokens < 2 * static_cast<double>(in.streams * ranks)) break;
    rows.push_back(row_of(options, in, ranks));
    table.add(std::to_string(ranks), row_text(rows.back()));
  }
  if (rows.empty()) {
    throw ConfigError(str("plan: a text of ", options.tokens, " tokens is too short for ", in.streams,
                          " streams; give the text's --tokens, or fewer --streams"));
  }
  const std::int64_t worthwhile = last_worthwhile(rows);
  warn_of_memory(rows.front().at("rank_mb"));
  nlohmann::json line = {{"plan", "pretrain"}, {"rows", rows}, {"worthwhile_ranks", worthwhile}};
  if (in.optimizer_share) line["optimizer_share"] = *in.optimizer_share;
  return {line, table.text() + notes(options, in, worthwhile, rows.back().at("ranks"))};
}

}  // namespace ulmfit::perf
