// Counts primes with a sieve of one bit for each odd number, and shows the largest gap between two.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int is_struck(const uint8_t *bits, uint32_t odd) { return bits[odd >> 4] >> (odd >> 1 & 7) & 1; }

static void strike(uint8_t *bits, uint32_t odd) { bits[odd >> 4] |= 1u << (odd >> 1 & 7); }

int main(void) {
  const uint32_t limit = 10000000;
  uint8_t *bits = calloc(limit / 16 + 1, 1);
  if (bits == NULL) {
    perror("calloc");
    return 1;
  }
  const uint32_t root = (uint32_t)sqrt(limit);
  for (uint32_t n = 3; n <= root; n += 2) {
    if (is_struck(bits, n)) continue;
    for (uint64_t multiple = (uint64_t)n * n; multiple < limit; multiple += 2 * n) {
      strike(bits, (uint32_t)multiple);
    }
  }
  uint32_t count = 1, previous = 2, gap = 0, gap_start = 2;
  for (uint32_t n = 3; n < limit; n += 2) {
    if (is_struck(bits, n)) continue;
    if (n - previous > gap) {
      gap = n - previous;
      gap_start = previous;
    }
    previous = n;
    count += 1;
  }
  free(bits);
  printf("%u primes below %u\n", count, limit);
  printf("largest: %u\n", previous);
  printf("widest gap: %u, after %u\n", gap, gap_start);
}
