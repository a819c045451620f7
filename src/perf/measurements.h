// What the benchmarks share: medians and spreads, the peak of matrix products, arithmetic of a model, a table on the
// screen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/precision.h"
#include "model/shape.h"
#include "stages/peak_memory.h"

namespace ulmfit::perf {

struct Spread {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};

// `values` is not empty. The median of an even number is the mean of the middle two.
Spread spread(std::vector<double> values);

// a[i] / b[i] of blocks that were measured one after the other, so that what disturbed one disturbed the other.
Spread ratio_spread(const std::vector<double>& a, const std::vector<double>& b);

// Adds NAME, NAME_lowest and NAME_highest.
void add_spread(nlohmann::json& line, const std::string& name, const Spread& value);

// The type of the factors of products.
at::ScalarType product_type(model::Precision precision);

// The most FLOP/s that products of large square matrices reach on this device, with the threads that this rank has now: by
// ATen, or on CPUs by the block kernels of the model's head if they are faster.
double product_peak(at::Device device, at::ScalarType type);

// FLOP of a token, forward and backward: three times those of the forward products, a multiply-add as two. Recomputation
// does not count as work.
double encoder_training_flop(const model::Shape& shape);
double lm_training_flop(const model::Shape& shape);  // with the softmax head

std::string describe(const Spread& value);  // "1,234 (1,198 .. 1,250)"

// What a benchmark has to say: rank 0's.
struct Measured {
  nlohmann::json line;
  std::string table;
};

// Rows of name and value under a title.
class Table {
 public:
  explicit Table(std::string title) : title_(std::move(title)) {}
  void add(std::string name, std::string value);
  std::string text() const;

 private:
  std::string title_;
  std::vector<std::pair<std::string, std::string>> rows_;
};

// Adds peak_memory_mb, on a GPU gpu_peak_memory_mb too.
void add_memory(const stages::PeakMemory& memory, nlohmann::json& line, Table& table);

}  // namespace ulmfit::perf
