/* The wall clock of the program that this is loaded into is wrong by as many seconds as
 * the file named by CLOCK_STEP holds. The monotonic clock is right. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t none;
static volatile int64_t *seconds = &none;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("CLOCK_STEP");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *seen = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (seen != MAP_FAILED)
		seconds = seen;
	close(fd);
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	static int (*real)(struct timeval *, void *);
	if (!real)
		real = dlsym(RTLD_NEXT, "gettimeofday");
	int result = real(tv, zone);
	if (result == 0)
		tv->tv_sec += *seconds;
	return result;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(id, ts);
	if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += *seconds;
	return result;
}

time_t time(time_t *store)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (store)
		*store = now.tv_sec;
	return now.tv_sec;
}
