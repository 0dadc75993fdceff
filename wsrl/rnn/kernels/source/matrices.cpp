// A layer of a network that reads matrices: every entry is a vector of channels and goes through
// one linear map; a vector of its row and one of its column are added; then ReLU. With the results
// come their means along rows and columns, which the next layer needs, while they are in the cache.
//
// Matrices of `rows` x `columns` entries. Arrays are contiguous, channels last.

#include "memory.h"
#include "products.h"
#include "threads.h"

namespace {

constexpr long ENTRIES = 96;  // at once, or one row if it is longer: whole tiles of products

struct Shape {
  long rows, columns, inputs, outputs, wide, wide_in;
  long at_once;  // rows
  Shape(long rows, long columns, long inputs, long outputs)
      : rows(rows), columns(columns), inputs(inputs), outputs(outputs), wide(padded(outputs)),
        wide_in(padded(inputs)), at_once(std::max<long>(1, std::min(rows, ENTRIES / columns))) {}
};

// Calls work(entry, k, lanes) for the vectors of channels of `columns` entries of a row, from
// `first` on, and sums up what it returns for the row and, beside what is there, for the columns.
template <class Work>
inline void sum_up(const Shape& shape, long first, float* row_sums, float* column_sums, Work work) {
  const long columns = shape.columns, wide = shape.wide, outputs = shape.outputs;
  const auto all_columns = [=](long k, Lanes lanes) {
    Vector sum = {};
    for (long column = 0; column < columns; column++) {
      const Vector value = work(first + column, k, lanes);
      sum += value;
      float* to = column_sums + column * wide + k;
      store(to, load(to) + value);
    }
    store(row_sums + k, sum);
  };
  long k = 0;
  for (; k + WIDTH <= outputs; k += WIDTH) all_columns(k, Lanes{WIDTH});
  if (k < outputs) all_columns(k, Lanes{outputs - k});
}

// Asks for numbers that are needed soon. What layers leave behind does not fit the cache, and a
// product reads too many rows at once for the processor to foresee.
template <int WRITTEN>
inline void prefetch(const float* from, long size) {
  for (long i = 0; i < size; i += 16) __builtin_prefetch(from + i, WRITTEN, 2);
}

// Makes means of padded sums, or gradients of sums of those of means.
void divide(float* values, long size, long count) {
  const Vector factor = all(1.0f / count);
  for (long k = 0; k < size; k += WIDTH) store(values + k, load(values + k) * factor);
}

}  // namespace

extern "C" {

// x (matrices, rows, columns, inputs), weight (outputs, inputs), of_rows (matrices, rows, outputs),
// of_columns (matrices, columns, outputs); writes y and its means, shaped as what was added.
void wsrl_map_matrices(long matrices, long rows, long columns, long inputs, long outputs,
                       long threads, const float* x, const float* weight, const float* of_rows,
                       const float* of_columns, float* y, float* row_means, float* column_means) {
  const Shape s(rows, columns, inputs, outputs);
  for_each(matrices, threads, [=](long matrix) {
    float *turned, *by_row, *by_column, *row_sums, *column_sums, *starts, *part;
    const auto place = [&](Arena arena) {
      turned = arena.take(inputs * s.wide);
      by_row = arena.take(rows * s.wide), row_sums = arena.take(rows * s.wide);
      by_column = arena.take(columns * s.wide), column_sums = arena.take(columns * s.wide);
      starts = arena.take(s.at_once * columns * s.wide);
      part = arena.take(s.at_once * columns * s.wide);
      return arena.used();
    };
    place(Arena(scratch(place(Arena(nullptr)))));
    std::fill_n(turned, inputs * s.wide, 0.0f);
    transpose(weight, inputs, outputs, inputs, turned, s.wide);
    fill_padded(of_rows + matrix * rows * outputs, rows, outputs, by_row, s.wide);
    fill_padded(of_columns + matrix * columns * outputs, columns, outputs, by_column, s.wide);
    std::fill_n(column_sums, columns * s.wide, 0.0f);
    for (long row = 0; row < s.at_once; row++)
      std::copy_n(by_column, columns * s.wide, starts + row * columns * s.wide);
    for (long first = 0; first < rows; first += s.at_once) {
      const long last = std::min(rows, first + s.at_once), entries = (last - first) * columns;
      const float* from = x + (matrix * rows + first) * columns * inputs;
      float* to = y + (matrix * rows + first) * columns * outputs;
      multiply(entries, s.wide, {starts, s.wide}, {from, inputs, 1, turned, s.wide, inputs}, part,
               s.wide);
      const long next = std::min(entries, (rows - last) * columns);
      prefetch<0>(from + entries * inputs, next * inputs);
      prefetch<1>(to + entries * outputs, next * outputs);
      for (long row = first; row < last; row++) {
        const float* own = by_row + row * s.wide;
        float* sums = row_sums + row * s.wide;
        sum_up(s, (row - first) * columns, sums, column_sums, [=](long entry, long k, Lanes lanes) {
          Vector value = load(part + entry * s.wide + k) + load(own + k);
          value = value < all(0.0f) ? all(0.0f) : value;  // what is NaN stays
          lanes.write(to + entry * outputs + k, value);
          return value;
        });
      }
    }
    divide(row_sums, rows * s.wide, columns), divide(column_sums, columns * s.wide, rows);
    strip_padding(row_sums, rows, s.wide, row_means + matrix * rows * outputs, outputs);
    strip_padding(column_sums, columns, s.wide, column_means + matrix * columns * outputs, outputs);
  });
}

// From the gradients of y (null where it is zero) and of its means to those of x (null where it is
// not wanted), of what was added, and of the weight's transpose, one for each matrix.
void wsrl_map_matrices_backward(long matrices, long rows, long columns, long inputs, long outputs,
                                long threads, const float* x, const float* weight, const float* y,
                                const float* d_y, const float* d_row_means,
                                const float* d_column_means, float* d_x, float* d_turned,
                                float* d_rows, float* d_columns) {
  const Shape s(rows, columns, inputs, outputs);
  for_each(matrices, threads, [=](long matrix) {
    float *wide_weight, *by_row, *by_column, *row_sums, *column_sums, *part, *d_part, *d_wide;
    const auto place = [&](Arena arena) {
      wide_weight = arena.take(outputs * s.wide_in), d_wide = arena.take(inputs * s.wide);
      by_row = arena.take(rows * s.wide), row_sums = arena.take(rows * s.wide);
      by_column = arena.take(columns * s.wide), column_sums = arena.take(columns * s.wide);
      part = arena.take(s.at_once * columns * s.wide);
      d_part = arena.take(s.at_once * columns * s.wide_in);
      return arena.used();
    };
    place(Arena(scratch(place(Arena(nullptr)))));
    fill_padded(weight, outputs, inputs, wide_weight, s.wide_in);
    fill_padded(d_row_means + matrix * rows * outputs, rows, outputs, by_row, s.wide);
    fill_padded(d_column_means + matrix * columns * outputs, columns, outputs, by_column, s.wide);
    divide(by_row, rows * s.wide, columns), divide(by_column, columns * s.wide, rows);
    std::fill_n(column_sums, columns * s.wide, 0.0f);
    std::fill_n(d_wide, inputs * s.wide, 0.0f);
    for (long first = 0; first < rows; first += s.at_once) {
      const long last = std::min(rows, first + s.at_once), entries = (last - first) * columns;
      const long at = (matrix * rows + first) * columns;
      prefetch<0>(x + at * inputs, entries * inputs);
      const float *given = d_y ? d_y + at * outputs : nullptr, *result = y + at * outputs;
      for (long row = first; row < last; row++) {
        const float* own = by_row + row * s.wide;
        float* sums = row_sums + row * s.wide;
        const long begin = (row - first) * columns;
        sum_up(s, begin, sums, column_sums, [=](long entry, long k, Lanes lanes) {
          Vector value = load(own + k) + load(by_column + (entry - begin) * s.wide + k);
          if (given) value += lanes.read(given + entry * outputs + k);
          value = lanes.read(result + entry * outputs + k) <= all(0.0f) ? all(0.0f) : value;
          store(part + entry * s.wide + k, value);
          return value;
        });
      }
      const long next = std::min(entries, (rows - last) * columns) * outputs;
      if (given) prefetch<0>(given + entries * outputs, next);
      prefetch<0>(result + entries * outputs, next);
      if (d_x) prefetch<1>(d_x + at * inputs, entries * inputs);
      add_turned(inputs, s.wide, x + at * inputs, inputs, part, s.wide, entries, d_wide, s.wide);
      if (!d_x) continue;
      const bool whole = inputs == s.wide_in;
      multiply(entries, s.wide_in, {nullptr, 0}, {part, s.wide, 1, wide_weight, s.wide_in, outputs},
               whole ? d_x + at * inputs : d_part, s.wide_in);
      if (!whole) strip_padding(d_part, entries, s.wide_in, d_x + at * inputs, inputs);
    }
    strip_padding(row_sums, rows, s.wide, d_rows + matrix * rows * outputs, outputs);
    strip_padding(column_sums, columns, s.wide, d_columns + matrix * columns * outputs, outputs);
    strip_padding(d_wide, inputs, s.wide, d_turned + matrix * inputs * outputs, outputs);
  });
}
}
