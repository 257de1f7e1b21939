/*
 * A machine that sleeps, for a program that is started with this before all else (LD_PRELOAD):
 * CLOCK_BOOTTIME is ahead by the milliseconds in the file WSKEEP_TEST_SLEPT, as it is after a
 * sleep, and so are timers that were set by it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *slept_ms;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WSKEEP_TEST_SLEPT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*slept_ms), PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    close(fd);
    slept_ms = map;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_BOOTTIME && slept_ms) {
        time->tv_sec += *slept_ms / 1000;
        time->tv_nsec += *slept_ms % 1000 * 1000000;
        if (time->tv_nsec >= 1000000000) {
            time->tv_nsec -= 1000000000;
            time->tv_sec++;
        }
    }
    return result;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *due, struct itimerspec *before)
{
    static int (*real)(int, int, const struct itimerspec *, struct itimerspec *);
    struct itimerspec shifted = *due;
    if (!real)
        real = (int (*)(int, int, const struct itimerspec *, struct itimerspec *))dlsym(
            RTLD_NEXT, "timerfd_settime");
    if (flags & TFD_TIMER_ABSTIME && slept_ms) {
        int64_t due_ms =
            (int64_t)due->it_value.tv_sec * 1000 + due->it_value.tv_nsec / 1000000 - *slept_ms;
        if (due_ms < 1)
            due_ms = 1;
        shifted.it_value.tv_sec = due_ms / 1000;
        shifted.it_value.tv_nsec = due_ms % 1000 * 1000000;
    }
    return real(fd, flags, &shifted, before);
}
