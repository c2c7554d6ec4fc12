/*
 * Events between two cores with nothing around them: the kit's mailbox (packages/tspdk/src/env/mailbox.ts) in C, two pinned threads that send on what
 * they get. What it reaches is what the machine's caches allow at that moment; the kit's own figure is to be read beside it.
 *
 *   events CORE CORE IN_FLIGHT    prints the events a second of both threads together
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CAPACITY = 4096, MASK = CAPACITY - 1, BATCH = 128, RUN_MS = 300 };

struct ring {
	_Alignas(64) _Atomic uint32_t head;
	_Alignas(64) uint32_t slots[CAPACITY * 4];
};

static struct ring rings[2];
static atomic_int stop;
static int cores[2], in_flight;
static uint64_t counts[2];

static uint32_t lap(uint32_t index)
{
	return (index / CAPACITY & 511) + 1;
}

static void *reactor(void *which)
{
	int me = (int)(intptr_t)which;
	struct ring *in = &rings[me], *out = &rings[1 - me];
	uint32_t head = 0, told = 0, known = 0, tail = 0, pushed = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cores[me], &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (; pushed < (uint32_t)in_flight; pushed++) out->slots[(pushed & MASK) * 4] = 7;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (pushed > 0) {
			uint32_t header = (out->slots[(tail & MASK) * 4] & 0xfff) | pushed << 12 | lap(tail) << 22;
			atomic_store((_Atomic uint32_t *)&out->slots[(tail & MASK) * 4], header);
			tail += pushed;
			pushed = 0;
		}
		if (known == 0) {
			uint32_t header = atomic_load((_Atomic uint32_t *)&in->slots[(head & MASK) * 4]);
			if (header >> 22 == lap(head)) known = header >> 12 & 1023;
		}
		uint32_t batch = known < BATCH ? known : BATCH;
		for (uint32_t i = 0; i < batch; i++) {
			uint32_t *from = &in->slots[((head + i) & MASK) * 4], *to = &out->slots[((tail + pushed++) & MASK) * 4];
			to[0] = from[0] & 0xfff;
			to[1] = from[1];
			to[2] = from[2];
			to[3] = from[3];
		}
		head += batch;
		known -= batch;
		counts[me] += batch;
		if (head - told > CAPACITY / 4) atomic_store(&in->head, told = head);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	struct timespec run = { 0, RUN_MS * 1000000L };

	if (argc != 4) return 2;
	cores[0] = atoi(argv[1]);
	cores[1] = atoi(argv[2]);
	in_flight = atoi(argv[3]) / 2;
	for (intptr_t i = 0; i < 2; i++) pthread_create(&threads[i], NULL, reactor, (void *)i);
	nanosleep(&run, NULL);
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
	printf("%.0f", (counts[0] + counts[1]) * 1000.0 / RUN_MS);
	return 0;
}
