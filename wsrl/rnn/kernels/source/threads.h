// Work shared out among threads.
#pragma once

#include "vectors.h"

// Every thread takes one piece of work after the other.
template <class Work>
static void for_each(long count, long threads, Work work) {
#pragma omp parallel num_threads(threads)
  {
    FlushTiny flush;
#pragma omp for schedule(dynamic, 1)
    for (long piece = 0; piece < count; piece++) work(piece);
  }
}
