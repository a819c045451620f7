// Cross-entropy of rows of logits, and its gradient in their place.
namespace ulmfit::bodies {

// Of one row a block: the logarithm of its sum of exponentials (a running maximum subtracted) and the loss. logits
// [rows, columns], bias not yet added. A row with target -1 has loss 0; with a target outside of the columns, NaN.
// maxima, sums: a block's memory, one element a thread.
template <class Number>
ULMFIT_DEVICE inline void row_losses(const Thread& t, const Number* __restrict__ logits, const float* __restrict__ bias,
                                     const long long* targets, float* log_sums, float* losses, Long columns, float* maxima,
                                     float* sums) {
  const Number* row = logits + t.block * columns;
  float maximum = -3.4028234e38F, sum = 0;
  for (Long c = t.index; c < columns; c += t.threads) {
    const float x = wide(row[c]) + bias[c];
    if (x > maximum) {
      sum = sum * expf(maximum - x) + 1;
      maximum = x;
    } else {
      sum += expf(x - maximum);
    }
  }
  maxima[t.index] = maximum;
  sums[t.index] = sum;
  ULMFIT_BARRIER();
  for (Word half = t.threads / 2; half > 0; half /= 2) {
    if (t.index < half) {
      const float a = maxima[t.index], b = maxima[t.index + half];
      const float larger = a > b ? a : b;
      sums[t.index] = sums[t.index] * expf(a - larger) + sums[t.index + half] * expf(b - larger);
      maxima[t.index] = larger;
    }
    ULMFIT_BARRIER();
  }
  if (t.index != 0) return;
  const long long target = targets[t.block];
  log_sums[t.block] = maxima[0] + logf(sums[0]);
  if (target < 0) {
    losses[t.block] = 0;
  } else if (static_cast<Long>(target) >= columns) {
    losses[t.block] = ULMFIT_FLOAT(0x7FC00000U);
  } else {
    losses[t.block] = log_sums[t.block] - (wide(row[target]) + bias[target]);
  }
}

// The logits become scale * (softmax - 1 at the target), 0 in a row with target -1. A thread has a column, a block
// t.threads of them and `height` rows; blocks go along the columns first. bias_sums [groups of rows, columns]: sums of
// what is written over the rows of a group, in their order.
template <class Number>
ULMFIT_DEVICE inline void row_gradients(const Thread& t, Number* logits, const float* __restrict__ bias,
                                        const long long* __restrict__ targets, const float* __restrict__ log_sums,
                                        float* __restrict__ bias_sums, Long rows, Long columns, Long height, float scale) {
  constexpr Word kAtOnce = 4;  // rows that are read before the first of them is written: a thread waits once for all
  const Long along = (columns + t.threads - 1) / t.threads;  // blocks beside each other
  const Long group = t.block / along;
  const Long c = (t.block % along) * t.threads + t.index;
  if (c >= columns) return;
  const Long end = (group + 1) * height < rows ? (group + 1) * height : rows;
  const float b = bias[c];
  float sum = 0;
  for (Long first = group * height; first < end; first += kAtOnce) {
    float read[kAtOnce];
    for (Word i = 0; i < kAtOnce; ++i) read[i] = first + i < end ? wide(logits[(first + i) * columns + c]) : 0.0F;
    for (Word i = 0; i < kAtOnce && first + i < end; ++i) {
      const Long r = first + i;
      const float share = expf(read[i] + b - log_sums[r]) - (targets[r] == static_cast<long long>(c) ? 1.0F : 0.0F);
      Number& at = logits[r * columns + c];
      put(targets[r] < 0 ? 0.0F : scale * share, at);
      sum += wide(at);
    }
  }
  bias_sums[group * columns + c] = sum;
}

}  // namespace ulmfit::bodies
