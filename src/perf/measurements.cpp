#include "perf/measurements.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/stopwatch.h"
#include "model/block_kernels.h"
#include "model/head_products.h"
#include "reports/number_format.h"

namespace ulmfit::perf {

Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return {(values.at((n - 1) / 2) + values.at(n / 2)) / 2, values.front(), values.back()};
}

Spread ratio_spread(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) ratios.push_back(a[i] / b[i]);
  return spread(std::move(ratios));
}

void add_spread(nlohmann::json& line, const std::string& name, const Spread& value) {
  line[name] = value.median;
  line[name + "_lowest"] = value.lowest;
  line[name + "_highest"] = value.highest;
}

void add_memory(const stages::PeakMemory& memory, nlohmann::json& line, Table& table) {
  const auto add = [&](const char* key, const char* name, std::uint64_t bytes) {
    line[key] = static_cast<double>(bytes) / 1e6;
    table.add(name, ulmfit::str(reports::grouped(static_cast<std::int64_t>(bytes / 1000000)), " MB"));
  };
  add("peak_memory_mb", memory.gpu ? "peak memory of the host" : "peak memory", memory.host);
  if (memory.gpu) add("gpu_peak_memory_mb", "peak memory of the GPU", *memory.gpu);
}

at::ScalarType product_type(model::Precision precision) {
  return precision == model::Precision::kBfloat16 ? at::kBFloat16 : at::kFloat;
}

double product_peak(at::Device device, at::ScalarType type) {
  at::NoGradGuard no_grad;
  const std::int64_t size = device.is_cpu() ? 1024 : 8192;
  const at::Tensor a = at::randn({size, size}, at::TensorOptions(device)).to(type);
  at::Tensor out = at::empty_like(a);
  const auto n = static_cast<double>(size);
  double best = 0;
  const auto attempt = [&](const auto& product) {
    for (int i = 0; i < 12; ++i) {
      const Stopwatch watch;
      product();
      static_cast<void>(out[0][0].item<float>());  // waits on a GPU
      best = std::max(best, 2 * n * n * n / watch.seconds());
    }
  };
  attempt([&] { at::mm_out(out, a, a); });
  if (device.is_cpu() && type == at::kFloat && model::has_block_kernels(at::kFloat)) {
    const model::HeadProducts by_block_kernels(a);
    attempt([&] { by_block_kernels.logits(a, out); });
  }
  return best;
}

double encoder_training_flop(const model::Shape& shape) {
  double weights = 0;
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    weights += 4.0 * static_cast<double>(shape.output_width(l) * (shape.input_width(l) + shape.output_width(l)));
  }
  return 6 * weights;
}

double lm_training_flop(const model::Shape& shape) {
  return encoder_training_flop(shape) + 6.0 * static_cast<double>(shape.vocabulary * shape.embedding);
}

std::string describe(const Spread& value) {
  const auto number = [](double v) {
    return std::abs(v) >= 1000 ? reports::grouped(std::llround(v)) : reports::significant(v, 4);
  };
  return ulmfit::str(number(value.median), " (", number(value.lowest), " .. ", number(value.highest), ")");
}

void Table::add(std::string name, std::string value) { rows_.emplace_back(std::move(name), std::move(value)); }

std::string Table::text() const {
  std::size_t width = 0;
  for (const auto& row : rows_) width = std::max(width, row.first.size());
  std::string text = title_ + '\n';
  for (const auto& [name, value] : rows_) text += "  " + name + std::string(width - name.size() + 2, ' ') + value + '\n';
  return text;
}

}  // namespace ulmfit::perf
