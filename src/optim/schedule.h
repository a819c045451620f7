// Learning rate and momentum as pure functions of the step: nothing to save but the step, nothing to drift between ranks.
#pragma once

#include <cstdint>
#include <optional>

#include "base/named_values.h"

namespace ulmfit::optim {

enum class ScheduleKind {
  kSlantedTriangular,  // Howard & Ruder 2018, section 3.2
  kOneCycle,           // fastai's fit_one_cycle: a cosine up, a cosine down, momentum the other way round
  kConstant,
  kLinear,            // down to 0
  kCosine,            // down to 0 by half a cosine, without restarts (Loshchilov & Hutter 2017)
  kReverseAnnealing,  // FitLaM's warm-up: up by half a cosine, down by another
  kExponential,       // up in equal factors, for range tests
};

inline constexpr Named<ScheduleKind> kScheduleKinds[] = {{ScheduleKind::kSlantedTriangular, "slanted-triangular"},
                                                         {ScheduleKind::kOneCycle, "one-cycle"},
                                                         {ScheduleKind::kConstant, "constant"},
                                                         {ScheduleKind::kLinear, "linear"},
                                                         {ScheduleKind::kCosine, "cosine"},
                                                         {ScheduleKind::kReverseAnnealing, "reverse-annealing"},
                                                         {ScheduleKind::kExponential, "exponential"}};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kSlantedTriangular;

  // Slanted triangular; cut_frac of reverse annealing too, ratio of the exponential one.
  double cut_frac = 0.1;  // share of the steps in which the rate rises
  double ratio = 32;      // the highest rate over the lowest

  // One cycle.
  double pct_start = 0.25;     // share of the steps in which the rate rises
  double div = 25;             // the highest rate over the first
  double div_final = 1e5;      // the highest rate over the last
  double momentum_high = 0.8;  // at both ends
  double momentum_low = 0.7;   // at the highest rate
};

// Throws ConfigError naming the first option outside its range.
void check_options(const ScheduleOptions& options);

struct Rate {
  double lr_factor = 1;         // times the highest rate
  std::optional<double> beta1;  // set where the schedule cycles it
};

// The rate for step t of the T steps of a phase, 0 <= t < T (std::out_of_range otherwise). `options` have been checked.
//
// Slanted triangular: cut = max(1, floor(T cut_frac)); p = t / cut while t < cut, else (T - t) / (T - cut);
// factor = (1 + p (ratio - 1)) / ratio, so 1 / ratio <= factor <= 1 for every T. (The paper's falling piece,
// 1 - (t - cut) / (cut (1 / cut_frac - 1)), is the same where T cut_frac is whole; for other T it can leave these bounds.)
//
// One cycle: pct = t / T; rises from 1 / div to 1 until pct_start, falls to 1 / div_final, both by half a cosine.
//
// Linear: (T - t) / T. Cosine: (1 + cos(pi t / T)) / 2. Reverse annealing: cut as above; (1 - cos(pi t / cut)) / 2 while
// t < cut, then (1 + cos(pi (t - cut) / (T - cut))) / 2. (FitLaM's own formula was never published; this is our reading.)
//
// Exponential: ratio^(t / (T - 1) - 1), from 1 / ratio to 1; 1 if T is 1.
Rate rate_at(const ScheduleOptions& options, std::int64_t t, std::int64_t T);

}  // namespace ulmfit::optim
