// Mean, variance and quartiles of every parameter tensor of many RNNs.

#include <algorithm>
#include <cmath>

#include "memory.h"
#include "threads.h"

namespace {

constexpr long NUMBERS = 7;           // mean, variance, five quantiles
constexpr long MOST_BUCKETS = 1024;   // so that counts stay in the first cache
constexpr float ORDINARY = 1e38f;     // differences of such numbers are finite

// So many numbers are summed up in float, and their sums in double.
constexpr long PIECE = 32 * WIDTH;

// What one look at all numbers tells.
struct Glance {
  double sum = 0;
  float low, high;
  bool ordinary = true;  // no NaN, infinity or what is near
};

Glance look(const float* from, long size) {
  Glance found;
  found.low = found.high = from[0];
  Vector low = all(from[0]), high = low;
  long k = 0;
  while (k + WIDTH <= size) {
    Vector sum = {};
    Integers odd = {};
    for (const long end = std::min(size, k + PIECE); k + WIDTH <= end; k += WIDTH) {
      const Vector x = load(from + k);
      low = x < low ? x : low, high = x > high ? x : high, sum += x;
      odd |= ~((x <= all(ORDINARY)) & (x >= all(-ORDINARY)));
    }
    for (long lane = 0; lane < WIDTH; lane++) {
      found.sum += sum[lane];
      if (odd[lane]) found.ordinary = false;
    }
  }
  for (long lane = 0; lane < WIDTH; lane++)
    found.low = std::min(found.low, low[lane]), found.high = std::max(found.high, high[lane]);
  for (; k < size; k++) {
    found.low = std::min(found.low, from[k]), found.high = std::max(found.high, from[k]);
    found.sum += from[k];
    if (!(std::fabs(from[k]) <= ORDINARY)) found.ordinary = false;
  }
  return found;
}

// Sums of differences from a number, and of their squares.
struct Differences {
  double sum = 0, squares = 0;
};

Differences differences(float middle, const float* from, long size) {
  Differences found;
  long k = 0;
  while (k + WIDTH <= size) {
    Vector sum = {}, squares = {};
    for (const long end = std::min(size, k + PIECE); k + WIDTH <= end; k += WIDTH) {
      const Vector rest = load(from + k) - all(middle);
      sum += rest, squares += rest * rest;
    }
    for (long lane = 0; lane < WIDTH; lane++)
      found.sum += sum[lane], found.squares += squares[lane];
  }
  for (; k < size; k++) {
    const double rest = from[k] - middle;
    found.sum += rest, found.squares += rest * rest;
  }
  return found;
}

// What float sums say of the mean is wrong in the last digits, which matters where the mean is far
// larger than the deviations; the differences from it tell by how much (Chan, Golub and LeVeque).
void moments(const float* from, long size, double sum, float* to) {
  const float middle = sum / size;
  const Differences found = differences(middle, from, size);
  const double shift = std::isfinite(found.sum) ? found.sum / size : 0;
  to[0] = middle + shift;
  to[1] = std::max(found.squares / size - shift * shift, 0.0);  // NaN stays
}

// Between the neighbours in order, as torch.lerp.
float interpolate(float below, float above, float part) {
  return part < 0.5f ? below + part * (above - below) : above - (above - below) * (1 - part);
}

// NaN after all numbers, as torch.sort.
bool comes_before(float one, float other) { return one < other || (other != other && one == one); }

void quantiles_by_sorting(const float* from, long size, float* room, float* to) {
  std::copy_n(from, size, room);
  std::sort(room, room + size, comes_before);
  for (long quarter = 0; quarter <= 4; quarter++) {
    const long place = quarter * (size - 1);
    const float below = room[place / 4], above = room[std::min(place / 4 + 1, size - 1)];
    to[quarter] = interpolate(below, above, (place % 4) * 0.25f);
  }
}

// Numbers are counted by buckets of equal width; only those in the buckets where the quartiles are
// need to be put in order. `room` holds 2 * size + 2 * MOST_BUCKETS numbers.
void quantiles_by_counting(const float* from, long size, Glance seen, float* room, float* to) {
  const long buckets = std::min(MOST_BUCKETS, size / 4 + 1);
  int32_t* bucket_of = (int32_t*)room;
  float* picked = room + size;
  int32_t* counts = (int32_t*)(picked + size);
  int32_t* wanted = counts + MOST_BUCKETS;
  const float scale = buckets / (seen.high - seen.low);
  const Integers last = (int32_t)(buckets - 1) - Integers{};
  long k = 0;
  for (; k + WIDTH <= size; k += WIDTH) {
    const Vector place = (load(from + k) - all(seen.low)) * all(scale);
    Integers bucket = __builtin_convertvector(place, Integers);
    bucket = bucket < last ? bucket : last;
    memcpy(bucket_of + k, &bucket, sizeof bucket);
  }
  for (; k < size; k++)
    bucket_of[k] = std::min<int32_t>((from[k] - seen.low) * scale, buckets - 1);
  std::fill_n(counts, buckets, 0);
  for (k = 0; k < size; k++) counts[bucket_of[k]]++;

  // Mark the buckets of the two neighbours of each quartile, and see how many numbers lie below
  // the first of those that are picked.
  std::fill_n(wanted, buckets, 0);
  long ranks[6], found[6];
  for (long quarter = 1; quarter <= 3; quarter++) {
    ranks[2 * quarter - 2] = quarter * (size - 1) / 4;
    ranks[2 * quarter - 1] = std::min(quarter * (size - 1) / 4 + 1, size - 1);
  }
  long passed = 0, skipped = 0, next = 0;
  for (long bucket = 0; bucket < buckets && next < 6; passed += counts[bucket++]) {
    const long end = passed + counts[bucket];
    if (ranks[next] < end) wanted[bucket] = 1;
    while (next < 6 && ranks[next] < end) found[next] = ranks[next] - skipped, next++;
    if (!wanted[bucket]) skipped += counts[bucket];
  }
  long count = 0;
  for (k = 0; k < size; k++) {  // without branches
    picked[count] = from[k];
    count += wanted[bucket_of[k]];
  }
  float* sorted = picked;  // nothing before here is greater than anything from here on
  for (long each : found)
    if (picked + each >= sorted) {
      std::nth_element(sorted, picked + each, picked + count);
      sorted = picked + each + 1;
    }
  to[0] = seen.low, to[4] = seen.high;
  for (long quarter = 1; quarter <= 3; quarter++) {
    const float below = picked[found[2 * quarter - 2]], above = picked[found[2 * quarter - 1]];
    to[quarter] = interpolate(below, above, quarter * (size - 1) % 4 * 0.25f);
  }
}

void statistics_of(const float* from, long size, float* room, float* to) {
  const Glance seen = look(from, size);
  moments(from, size, seen.sum, to);
  if (seen.ordinary && seen.high == seen.low)
    std::fill_n(to + 2, NUMBERS - 2, seen.low);
  else if (seen.ordinary && seen.high - seen.low > 1e-30f)
    quantiles_by_counting(from, size, seen, room, to + 2);
  else
    quantiles_by_sorting(from, size, room, to + 2);
}

}  // namespace

extern "C" {

// To `statistics` (P, K, 7) from `flat` (P, N), of the K tensors given by their offsets and sizes.
void wsrl_statistics(long rnns, long parameters, long tensors, long threads,
                     const int64_t* offsets, const int64_t* sizes, const float* flat,
                     float* statistics) {
  const long largest = *std::max_element(sizes, sizes + tensors);
  for_each(rnns, threads, [&](long rnn) {
    float* room = scratch(2 * largest + 2 * MOST_BUCKETS);
    for (long k = 0; k < tensors; k++)
      statistics_of(flat + rnn * parameters + offsets[k], sizes[k], room,
                    statistics + (rnn * tensors + k) * NUMBERS);
  });
}
}
