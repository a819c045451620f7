// Dropout masks, the bits of base/random.h's.
namespace ulmfit::bodies {

ULMFIT_DEVICE inline Long step_of(const MaskDraws& draws) {
  return draws.clock == nullptr ? draws.step : *draws.clock + draws.step;
}

// random_block() of `stream` in step_of(draws).
ULMFIT_DEVICE inline void random_words(const MaskDraws& draws, Long step, Word stream, Word block, Word (&c)[4]) {
  c[0] = block;
  c[1] = stream;
  c[2] = static_cast<Word>(step);
  c[3] = (static_cast<Word>(step >> 32) & 0xFFFFU) | (draws.purpose << 16);
  Word k0 = static_cast<Word>(draws.seed), k1 = static_cast<Word>(draws.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const Long p0 = 0xD2511F53ULL * c[0];
    const Long p1 = 0xCD9E8D57ULL * c[2];
    c[0] = static_cast<Word>(p1 >> 32) ^ c[1] ^ k0;
    c[1] = static_cast<Word>(p1);
    c[2] = static_cast<Word>(p0 >> 32) ^ c[3] ^ k1;
    c[3] = static_cast<Word>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
}

ULMFIT_DEVICE inline float factor(const MaskDraws& draws, Word word) { return word < draws.threshold ? draws.kept : 0.0F; }

// out[i] = in[i] * mask[i], i in [0, n). Four elements of one draw a thread and turn.
template <class In, class Out>
ULMFIT_DEVICE inline void masked_copy(const Thread& t, const In* __restrict__ in, Out* __restrict__ out, Long n,
                                      const MaskDraws& draws) {
  const Long step = step_of(draws);
  for (Long block = t.number(); 4 * block < n; block += t.count()) {
    Word words[4];
    random_words(draws, step, draws.stream, static_cast<Word>(block), words);
    const Long left = n - 4 * block;
    for (Word i = 0; i < 4 && i < left; ++i) put(wide(in[4 * block + i]) * factor(draws, words[i]), out[4 * block + i]);
  }
}

// out [rows, width]: row r is the mask of stream streams[r] + draws.stream.
ULMFIT_DEVICE inline void locked_masks(const Thread& t, const long long* streams, float* out, Long rows, Long width,
                                       const MaskDraws& draws) {
  const Long step = step_of(draws);
  const Long blocks = (width + 3) / 4;  // of a row
  for (Long at = t.number(); at < rows * blocks; at += t.count()) {
    const Long row = at / blocks, block = at % blocks;
    Word words[4];
    random_words(draws, step, static_cast<Word>(streams[row]) + draws.stream, static_cast<Word>(block), words);
    const Long left = width - 4 * block;
    for (Word i = 0; i < 4 && i < left; ++i) out[row * width + 4 * block + i] = factor(draws, words[i]);
  }
}

// out[i]: the element of the mask at places[i], i in [0, n).
ULMFIT_DEVICE inline void mask_at(const Thread& t, const long long* places, float* out, Long n, const MaskDraws& draws) {
  const Long step = step_of(draws);
  for (Long i = t.number(); i < n; i += t.count()) {
    Word words[4];
    random_words(draws, step, draws.stream, static_cast<Word>(places[i] / 4), words);
    out[i] = factor(draws, words[places[i] % 4]);
  }
}

}  // namespace ulmfit::bodies
