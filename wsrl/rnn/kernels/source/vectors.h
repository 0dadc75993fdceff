// Vectors of as many floats as one register holds, and the functions of them that RNNs need.
//
// Written with the vector extensions of GCC and Clang, so that the same source serves every
// processor. Nothing here assumes that numbers are finite: what is NaN stays NaN.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr long WIDTH = 16, ACCUMULATORS = 24;  // of 32 registers
#elif defined(__AVX__)
constexpr long WIDTH = 8, ACCUMULATORS = 12;  // of 16
#elif defined(__aarch64__)
constexpr long WIDTH = 4, ACCUMULATORS = 24;
#else
constexpr long WIDTH = 4, ACCUMULATORS = 12;
#endif

typedef float Vector __attribute__((vector_size(WIDTH * 4)));
typedef int32_t Integers __attribute__((vector_size(WIDTH * 4)));
typedef float Unaligned __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));

static inline Vector load(const float* from) { return *(const Unaligned*)from; }
static inline void store(float* to, Vector value) { *(Unaligned*)to = value; }
static inline Vector all(float value) { return value - Vector{}; }

// How many floats a row of `size` takes when it is filled up to whole vectors.
static inline long padded(long size) { return (size + WIDTH - 1) / WIDTH * WIDTH; }

// The next numbers of a row, as many as are left of a vector; the other lanes are 0.
struct Lanes {
  long count;
  Vector read(const float* from) const {
    if (count == WIDTH) return load(from);
    Vector value = {};
    memcpy(&value, from, count * sizeof(float));
    return value;
  }
  void write(float* to, Vector value) const {
    if (count == WIDTH)
      store(to, value);
    else
      memcpy(to, &value, count * sizeof(float));
  }
};

// What is NaN passes: a comparison with it is false.
static inline Vector clamp(Vector x, float low, float high) {
#if defined(__AVX512F__) && !defined(__clang__)  // GCC does not find these two by itself
  x = __builtin_ia32_maxps512_mask(all(low), x, x, -1, 4);
  return __builtin_ia32_minps512_mask(all(high), x, x, -1, 4);
#else
  x = x < all(low) ? all(low) : x;
  return x > all(high) ? all(high) : x;
#endif
}

// exp(factor * x) as scale * (1 + part): scale is a power of 2, and part is precise near 0.
struct Exponential {
  Vector scale, part;
};

static inline Exponential exponential(Vector x, float factor) {
  const Vector per_octave = all(factor * 1.44269504088896341f);
  // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the lowest bits.
  const Vector shift = all(12582912.0f);
  Vector shifted = x * per_octave + shift;
  Vector rest = x * per_octave - (shifted - shift);
  // 2^rest - 1 for |rest| <= 1/2; fitted, with the exact slope at 0, to 1e-7.
  Vector part = all(0.0013399645f);
  part = part * rest + all(0.009671594f);
  part = part * rest + all(0.055503413f);
  part = part * rest + all(0.24022241f);
  part = part * rest + all(0.693147182f);
  Integers bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000;
  Exponential result;
  memcpy(&result.scale, &bits, sizeof bits);
  result.part = part * rest;
  return result;
}

static inline Vector exp_of(Vector x, float factor = 1.0f) {
  Exponential e = exponential(clamp(x, -87.0f, 87.0f), factor);
  return e.scale * e.part + e.scale;
}

// 1 / x for finite x of at least 1: the processor's estimate and a step of Newton's method take a
// quarter of the time of a division, and are right to about 2e-7 of the value.
static inline Vector reciprocal(Vector x) {
#if defined(__AVX512F__)
  Vector estimate = __builtin_ia32_rcp14ps512_mask(x, Vector{}, -1);
#elif defined(__AVX__)
  Vector estimate = __builtin_ia32_rcpps256(x);
#else
  return all(1.0f) / x;
#endif
#if defined(__AVX__)
  return estimate * (all(2.0f) - x * estimate);
#endif
}

static inline Vector sigmoid(Vector x) { return reciprocal(all(1.0f) + exp_of(x, -1.0f)); }

// (exp(2x) - 1) / (exp(2x) + 1), without cancellation near 0.
static inline Vector tanh_of(Vector x) {
  Exponential e = exponential(clamp(x, -10.0f, 10.0f), 2.0f);
  Vector less_one = e.scale * e.part + (e.scale - all(1.0f));
  return less_one * reciprocal(less_one + all(2.0f));
}

// Turn a square of WIDTH rows by swapping ever larger blocks off its diagonal.
template <long BLOCK>
static inline void swap_blocks(Vector* rows) {
  Integers first, second;
  for (int lane = 0; lane < WIDTH; lane++) {
    bool right = lane & BLOCK;
    first[lane] = right ? WIDTH + lane - BLOCK : lane;
    second[lane] = right ? WIDTH + lane : lane + BLOCK;
  }
  for (long row = 0; row < WIDTH; row++) {
    if (row & BLOCK) continue;
    Vector upper = rows[row], lower = rows[row + BLOCK];
#if defined(__clang__)
    for (int lane = 0; lane < WIDTH; lane++) {
      rows[row][lane] = first[lane] < WIDTH ? upper[first[lane]] : lower[first[lane] - WIDTH];
      rows[row + BLOCK][lane] =
          second[lane] < WIDTH ? upper[second[lane]] : lower[second[lane] - WIDTH];
    }
#else
    rows[row] = __builtin_shuffle(upper, lower, first);
    rows[row + BLOCK] = __builtin_shuffle(upper, lower, second);
#endif
  }
}

static inline void transpose_square(const float* from, long from_row, float* to, long to_row) {
  Vector rows[WIDTH];
  for (long row = 0; row < WIDTH; row++) rows[row] = load(from + row * from_row);
  swap_blocks<1>(rows);
  swap_blocks<2>(rows);
  if constexpr (WIDTH > 4) swap_blocks<4>(rows);
  if constexpr (WIDTH > 8) swap_blocks<8>(rows);
  for (long row = 0; row < WIDTH; row++) store(to + row * to_row, rows[row]);
}

// to[j, i] = from[i, j] for `rows` x `columns` of `from`; the strides are those of stored rows. Not
// inlined: it is long, and called from many places.
__attribute__((noinline)) static inline void transpose(const float* from, long from_row, long rows,
                                                       long columns, float* to, long to_row) {
  long i = 0;
  for (; i + WIDTH <= rows; i += WIDTH) {
    long j = 0;
    for (; j + WIDTH <= columns; j += WIDTH)
      transpose_square(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
    for (; j < columns; j++)
      for (long k = i; k < i + WIDTH; k++) to[j * to_row + k] = from[k * from_row + j];
  }
  for (; i < rows; i++)
    for (long j = 0; j < columns; j++) to[j * to_row + i] = from[i * from_row + j];
}

// Numbers too small for the normal format count as 0 while this lives: gradients that fade over
// many steps would otherwise take a hundred times as long.
class FlushTiny {
#if defined(__SSE__)
  unsigned before = __builtin_ia32_stmxcsr();

 public:
  FlushTiny() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~FlushTiny() { __builtin_ia32_ldmxcsr(before); }
#else
 public:
  FlushTiny() {}
#endif
};
