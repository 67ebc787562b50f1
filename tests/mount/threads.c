/* Concurrent writers and readers on one and on many files, with verification: finds lost and mixed up writes, and gives a mount
 * under ThreadSanitizer something to do.
 *
 * Each thread owns, of the one shared file, the blocks whose number is its own modulo the number of threads; blocks are of odd
 * length, so that neighbours share pages.  A block always holds some version of itself: readers check that, owners that it is
 * the last one.  Besides, each thread has files of its own that it makes, renames, overwrites, truncates and removes, and all of
 * them append to one log whose lines must come out whole.
 *
 * usage: threads DIRECTORY [THREADS [ROUNDS]]          exit status: 0 good, 1 bad, 2 environment */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1777, BLOCKS_EACH = 24, FILES_EACH = 6, LINE = 100, MAX_THREADS = 64 };

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t random;
	uint32_t version[BLOCKS_EACH];
};

static int top;
static unsigned threads = 8, rounds = 200;
static struct worker workers[MAX_THREADS];

static void bad(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void bad(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "threads: ");
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

static uint64_t draw(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

/* A block says which it is and of which version, and all its bytes follow from that. */
static void fill(uint8_t *p, size_t n, uint32_t number, uint32_t version)
{
	uint64_t x = ((uint64_t)number << 32 | version) * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 8; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(x >> 56);
	}
	memcpy(p, &number, 4);
	memcpy(p + 4, &version, 4);
}

static uint32_t check(const uint8_t *p, size_t n, uint32_t number, const char *what)
{
	uint8_t wanted[BLOCK];
	uint32_t found, version;

	memcpy(&found, p, 4);
	memcpy(&version, p + 4, 4);
	if (found != number)
		bad("%s: block %u holds block %u", what, number, found);
	fill(wanted, n, number, version);
	if (memcmp(p, wanted, n) != 0)
		bad("%s: block %u is torn (version %u)", what, number, version);
	return version;
}

static uint32_t block_number(const struct worker *w, unsigned i)
{
	return i * threads + w->number;
}

static void write_shared(struct worker *w, int fd)
{
	unsigned i = (unsigned)(draw(w) % BLOCKS_EACH);
	uint32_t number = block_number(w, i);
	uint8_t block[BLOCK];

	fill(block, BLOCK, number, ++w->version[i]);
	if (pwrite(fd, block, BLOCK, (off_t)number * BLOCK) != BLOCK)
		bad("write of the shared file: %s", strerror(errno));
}

/* A reader may see an owner's write half done: POSIX promises atomicity, Linux does not keep it across pages.  Its own
 * blocks have to be exact. */
static void read_shared(struct worker *w, int fd)
{
	unsigned i = (unsigned)(draw(w) % BLOCKS_EACH);
	uint32_t number = block_number(w, i), version;
	uint8_t block[BLOCK];

	if (pread(fd, block, BLOCK, (off_t)number * BLOCK) != BLOCK)
		bad("read of the shared file: %s", strerror(errno));
	version = check(block, BLOCK, number, "shared file");
	if (version != w->version[i])
		bad("shared file: block %u has version %u, not %u", number, version, w->version[i]);
	number = (uint32_t)(draw(w) % (threads * BLOCKS_EACH));
	if (pread(fd, block, BLOCK, (off_t)number * BLOCK) != BLOCK)
		bad("read of the shared file: %s", strerror(errno));
	memcpy(&version, block, 4);
	if (version != number)
		bad("shared file: block %u begins with %u", number, version);
}

static void append_line(struct worker *w, int log, unsigned round)
{
	char line[LINE + 1];

	snprintf(line, sizeof(line), "%02u %06u %048u\n", w->number, round, w->number * 1000003 + round);
	if (write(log, line, strlen(line)) != (ssize_t)strlen(line))
		bad("append: %s", strerror(errno));
}

static void own_name(char *out, const struct worker *w, unsigned i, const char *suffix)
{
	sprintf(out, "own-%u-%u%s", w->number, i, suffix);
}

/* Writes a file anew under another name and renames it into place; reads it back; cuts it. */
static void replace_own(struct worker *w, unsigned round)
{
	unsigned i = (unsigned)(draw(w) % FILES_EACH);
	size_t size = 8 + draw(w) % (draw(w) % 4 ? BLOCK - 8 : 300);
	uint8_t block[BLOCK], back[BLOCK + 1];
	char name[64], temporary[64];
	struct stat st;
	ssize_t n;
	int fd;

	own_name(name, w, i, "");
	own_name(temporary, w, i, ".new");
	fill(block, size, w->number, round);
	fd = openat(top, temporary, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, block, size) != (ssize_t)size)
		bad("%s: %s", temporary, strerror(errno));
	for (unsigned far = 0; far < 3; far++)
		if (pwrite(fd, block, size, 100000 * (off_t)(far + 1)) != (ssize_t)size)
			bad("%s: %s", temporary, strerror(errno));
	if (renameat(top, temporary, top, name))
		bad("rename of %s: %s", temporary, strerror(errno));
	for (unsigned far = 0; far < 4; far++) {
		n = pread(fd, back, size, 100000 * (off_t)far);
		if (n != (ssize_t)size || memcmp(back, block, size) != 0)
			bad("%s: wrong content behind the open descriptor", name);
	}
	if (ftruncate(fd, (off_t)size) || fstat(fd, &st) || st.st_size != (off_t)size)
		bad("%s: wrong size after cutting", name);
	close(fd);
	fd = openat(top, name, O_RDONLY);
	if (fd < 0)
		bad("%s: %s", name, strerror(errno));
	n = read(fd, back, sizeof(back));
	if (n != (ssize_t)size || memcmp(back, block, size) != 0)
		bad("%s: wrong content", name);
	close(fd);
	if (draw(w) % 4 == 0 && unlinkat(top, name, 0))
		bad("unlink of %s: %s", name, strerror(errno));
}

static void use_directories(struct worker *w)
{
	char name[64], other[64];

	own_name(name, w, 0, ".dir");
	own_name(other, w, 1, ".dir");
	if (mkdirat(top, name, 0700) || renameat(top, name, top, other) || unlinkat(top, other, AT_REMOVEDIR))
		bad("directories: %s", strerror(errno));
	own_name(name, w, 0, ".link");
	if (symlinkat("target", top, name) || unlinkat(top, name, 0))
		bad("links: %s", strerror(errno));
}

/* All threads map the same file and write bytes of their own into the same pages. */
static void use_mapping(struct worker *w, volatile uint8_t *map)
{
	for (unsigned i = 0; i < 40; i++) {
		unsigned at = (unsigned)(draw(w) % 2000) * MAX_THREADS + w->number;

		map[at] = (uint8_t)(w->number + 1);
	}
}

static void *work(void *data)
{
	struct worker *w = data;
	int shared = openat(top, "shared", O_RDWR), log = openat(top, "log", O_WRONLY | O_APPEND);
	int mapped = openat(top, "mapped", O_RDWR);
	uint8_t *map = mmap(NULL, 2000 * MAX_THREADS, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);

	if (shared < 0 || log < 0 || map == MAP_FAILED)
		bad("opening: %s", strerror(errno));
	for (unsigned round = 0; round < rounds; round++) {
		write_shared(w, shared);
		read_shared(w, shared);
		append_line(w, log, round);
		if (round % 3 == 0)
			replace_own(w, round);
		if (round % 7 == 0)
			use_directories(w);
		if (round % 5 == 0)
			use_mapping(w, map);
		if (round % 50 == 49)
			fsync(shared);
		if (round % 40 == 39)
			posix_fadvise(shared, 0, 0, POSIX_FADV_DONTNEED);
	}
	for (unsigned i = 0; i < BLOCKS_EACH; i++)
		read_shared(w, shared);
	munmap(map, 2000 * MAX_THREADS);
	close(mapped);
	close(log);
	close(shared);
	return NULL;
}

static void prepare(void)
{
	int fd = openat(top, "shared", O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (uint32_t i = 0; i < threads * BLOCKS_EACH; i++) {
		uint8_t block[BLOCK];

		fill(block, BLOCK, i, 0);
		if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			bad("preparing: %s", strerror(errno));
	}
	close(fd);
	fd = openat(top, "mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (ftruncate(fd, 2000 * MAX_THREADS))
		bad("preparing: %s", strerror(errno));
	close(fd);
	close(openat(top, "log", O_RDWR | O_CREAT | O_TRUNC, 0600));
}

static void check_log(void)
{
	int fd = openat(top, "log", O_RDONLY);
	size_t size = (size_t)threads * rounds * (2 + 1 + 6 + 1 + 48 + 1);
	unsigned *next = calloc(threads, sizeof(*next));
	char *text = calloc(1, size + 2), *line = text;

	if (fd < 0 || !text || !next)
		bad("log: %s", strerror(errno));
	for (size_t got = 0; got <= size;) {
		ssize_t n = read(fd, text + got, size + 1 - got);

		if (n <= 0) {
			if (got != size)
				bad("log: %zu bytes, not %zu", got, size);
			break;
		}
		got += (size_t)n;
	}
	for (unsigned i = 0; i < threads * rounds; i++, line = strchr(line, '\n') + 1) {
		unsigned number, round;
		unsigned long long both;

		if (sscanf(line, "%u %u %llu\n", &number, &round, &both) != 3 || number >= threads ||
		    both != number * 1000003ull + round)
			bad("log: torn line %u", i);
		if (round != next[number]++)
			bad("log: thread %u misses a line before %u", number, round);
	}
	free(text);
	free(next);
	close(fd);
}

static void check_mapped(void)
{
	int fd = openat(top, "mapped", O_RDONLY);
	uint8_t *all = malloc(2000 * MAX_THREADS);

	if (!all || pread(fd, all, 2000 * MAX_THREADS, 0) != 2000 * MAX_THREADS)
		bad("mapped file: %s", strerror(errno));
	for (unsigned i = 0; i < 2000 * MAX_THREADS; i++)
		if (all[i] && all[i] != i % MAX_THREADS + 1)
			bad("mapped file: byte %u is %u", i, all[i]);
	free(all);
	close(fd);
}

static void check_shared(void)
{
	int fd = openat(top, "shared", O_RDONLY);

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (unsigned t = 0; t < threads; t++)
		for (unsigned i = 0; i < BLOCKS_EACH; i++) {
			uint32_t number = block_number(&workers[t], i), version;
			uint8_t block[BLOCK];

			if (pread(fd, block, BLOCK, (off_t)number * BLOCK) != BLOCK)
				bad("shared file: %s", strerror(errno));
			version = check(block, BLOCK, number, "shared file at the end");
			if (version != workers[t].version[i])
				bad("shared file at the end: block %u has version %u, not %u", number, version,
				    workers[t].version[i]);
		}
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: threads DIRECTORY [THREADS [ROUNDS]]\n");
		return 2;
	}
	if (argc > 2)
		threads = (unsigned)atoi(argv[2]);
	if (argc > 3)
		rounds = (unsigned)atoi(argv[3]);
	top = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (top < 0 || !threads || threads > MAX_THREADS) {
		perror(argv[1]);
		return 2;
	}
	prepare();
	for (unsigned i = 0; i < threads; i++) {
		workers[i] = (struct worker){.number = i, .random = 88172645463325252ull + i * 7919};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			bad("pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	check_shared();
	check_log();
	check_mapped();
	close(top);
	return 0;
}
