// Work on populations that is no RNN's run: images looked up, weights updated. The functions are
// what cpu.py calls; arrays are contiguous.

#include <algorithm>
#include <cmath>

#include "threads.h"

extern "C" {

// Sequences of picked images, each member's pixels in an order of its own, as the values of a
// table: out (P, S, T * I) = table[images[rows (P, S), sources (P, J)]] after `lead` zeros, T * I =
// lead + J.
void wsrl_look_up(long members, long sequences, long size, long lead, long threads,
                  const uint8_t* images, const int64_t* rows, const int32_t* sources,
                  const float* table, float* out) {
  for_each(members, threads, [&](long member) {
    const int32_t* source = sources + member * size;
    for (long s = 0; s < sequences; s++) {
      const uint8_t* image = images + rows[member * sequences + s] * size;
      float* to = out + (member * sequences + s) * (lead + size);
      std::fill_n(to, lead, 0.0f);
      for (long j = 0; j < size; j++)
        to[lead + j] = source[j] < 0 ? table[0] : table[image[source[j]]];
    }
  });
}

// AdamW in one pass. `kept` (P,) is what weight decay leaves of each RNN's weights, 1 - rate *
// decay; `rate` and `correction` have the corrections for the first steps in them.
void wsrl_adamw(long rnns, long size, long threads, float* flat, float* mean, float* square,
                const float* gradient, const float* kept, float beta1, float beta2, float epsilon,
                float rate, float correction) {
  for_each(rnns, threads, [&](long rnn) {
    float *w = flat + rnn * size, *m = mean + rnn * size, *v = square + rnn * size;
    const float *g = gradient + rnn * size, keep = kept[rnn];
#pragma omp simd
    for (long k = 0; k < size; k++) {
      m[k] += (1 - beta1) * (g[k] - m[k]);
      v[k] = v[k] * beta2 + (1 - beta2) * g[k] * g[k];
      w[k] = w[k] * keep - rate * m[k] / (std::sqrt(v[k] / correction) + epsilon);
    }
  });
}
}
