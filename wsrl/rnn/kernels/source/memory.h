// Room to work in, and rows of numbers copied to and from it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

// Hands out pieces of one buffer, or only counts while there is none.
class Arena {
 public:
  explicit Arena(float* base) : base_(base) {}
  template <class Number = float>  // of 4 bytes
  Number* take(long size) {
    float* piece = base_ ? base_ + used_ : nullptr;
    used_ += (size + 15) / 16 * 16;
    return (Number*)piece;
  }
  long used() const { return used_; }

 private:
  float* base_;
  long used_ = 0;
};

// A thread's own memory, kept from call to call; it begins at a multiple of 64 bytes.
static inline float* scratch(long size) {
  struct Memory {
    float* at = nullptr;
    long size = 0;
    ~Memory() { free(at); }
  };
  static thread_local Memory memory;
  if (memory.size < size) {
    free(memory.at);
    memory.size = (size + 15) / 16 * 16;
    memory.at = (float*)aligned_alloc(64, memory.size * sizeof(float));
    if (!memory.at) abort();
  }
  return memory.at;
}

// Rows of `size` numbers to rows filled up with zeros, and back; from null, all are zeros.
__attribute__((noinline)) static inline void fill_padded(const float* from, long rows, long size,
                                                         float* to, long row_size) {
  if (!from) {
    std::fill_n(to, rows * row_size, 0.0f);
  } else if (size == row_size) {
    std::copy_n(from, rows * size, to);
  } else {
    for (long row = 0; row < rows; row++) {
      float* copy = to + row * row_size;
      for (long j = 0; j < size; j++) copy[j] = from[row * size + j];
      for (long j = size; j < row_size; j++) copy[j] = 0;
    }
  }
}

static inline void strip_padding(const float* from, long rows, long row_size, float* to,
                                 long size) {
  if (size == row_size) {
    std::copy_n(from, rows * size, to);
  } else {
    for (long row = 0; row < rows; row++)
      for (long j = 0; j < size; j++) to[row * size + j] = from[row * row_size + j];
  }
}
