/*
 * A wskeepd in which the Nth call of one kind fails: linked from the daemon's own objects, with
 * the linker leading their calls here (--wrap).  What fails is said in the environment:
 *
 *   WSKEEP_FAULT         what: a name of `kinds`
 *   WSKEEP_FAULT_NTH     which call, from 1
 *   WSKEEP_FAULT_TIMES   and how many from there on; 1 without it
 *   WSKEEP_FAULT_ERROR   errno of a system call that fails
 *   WSKEEP_FAULT_REPORT  a file: one line for each call that failed, with the place that called,
 * and at the end how many calls there were
 *
 * `memory` is every allocation of wskeepd's own code, `libraries` every one of libevent, OpenSSL
 * and libyaml; in a sanitizer's build, which has an allocator of its own, not libyaml's.  libc's
 * are left alone: its getaddrinfo() ends the process when it has no memory for its own tables.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind {
    KIND_NONE,
    KIND_MEMORY,
    KIND_LIBRARIES,
    KIND_READ,
    KIND_WRITE,
    KIND_CONNECT,
    KIND_ACCEPT,
    KIND_SOCKET,
    KIND_OPEN,
    KIND_EPOLL,
    KIND_THREAD,
    KIND_COUNT
};

static const char *const kinds[KIND_COUNT] = {
    [KIND_NONE] = "none",     [KIND_MEMORY] = "memory", [KIND_LIBRARIES] = "libraries",
    [KIND_READ] = "read",     [KIND_WRITE] = "write",   [KIND_CONNECT] = "connect",
    [KIND_ACCEPT] = "accept", [KIND_SOCKET] = "socket", [KIND_OPEN] = "open",
    [KIND_EPOLL] = "epoll",   [KIND_THREAD] = "thread",
};

static struct {
    enum kind kind;
    unsigned long nth;
    unsigned long times;
    int error;
    const char *report;
    atomic_ulong count;
} fault;

extern const char __executable_start;

static void report(const char *what, unsigned long value)
{
    char line[80];
    int bytes = snprintf(line, sizeof(line), "%s %s %#lx\n", kinds[fault.kind], what, value);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, fault.report,
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    (void)!syscall(SYS_write, fd, line, (size_t)bytes);
    (void)syscall(SYS_close, fd);
}

static bool fails(enum kind kind, const void *caller)
{
    if (kind != fault.kind)
        return false;
    unsigned long number = atomic_fetch_add(&fault.count, 1) + 1;
    if (number < fault.nth || number - fault.nth >= fault.times)
        return false;
    if (fault.report)
        report("failed", (unsigned long)((const char *)caller - &__executable_start));
    return true;
}

/* With errno. */
static bool call_fails(enum kind kind, const void *caller)
{
    if (!fails(kind, caller))
        return false;
    errno = fault.error;
    return true;
}

#define CALLER __builtin_return_address(0)

/* ---- memory of our own code ---------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_OWN_ALLOCATOR 1
#endif
#endif

#ifdef HAS_OWN_ALLOCATOR
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
#else
/* libc's own names for them; the ones that everybody calls are defined below. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
#define __real_malloc __libc_malloc
#define __real_calloc __libc_calloc
#define __real_realloc __libc_realloc
#endif

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes_max);

void *__wrap_malloc(size_t bytes)
{
    return call_fails(KIND_MEMORY, CALLER) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return call_fails(KIND_MEMORY, CALLER) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return call_fails(KIND_MEMORY, CALLER) ? NULL : __real_realloc(old, bytes);
}

static char *copy(const char *text, size_t bytes)
{
    char *made = __real_malloc(bytes + 1);
    if (!made)
        return NULL;
    memcpy(made, text, bytes);
    made[bytes] = '\0';
    return made;
}

char *__wrap_strdup(const char *text)
{
    return call_fails(KIND_MEMORY, CALLER) ? NULL : copy(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t bytes_max)
{
    return call_fails(KIND_MEMORY, CALLER) ? NULL : copy(text, strnlen(text, bytes_max));
}

/* ---- memory of the libraries --------------------------------------------------------------- */

#ifdef HAS_OWN_ALLOCATOR
static void *library_malloc(size_t bytes)
{
    return call_fails(KIND_LIBRARIES, CALLER) ? NULL : __real_malloc(bytes);
}

static void *library_realloc(void *old, size_t bytes)
{
    return call_fails(KIND_LIBRARIES, CALLER) ? NULL : __real_realloc(old, bytes);
}

static void *crypto_malloc(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return call_fails(KIND_LIBRARIES, CALLER) ? NULL : __real_malloc(bytes);
}

static void *crypto_realloc(void *old, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return call_fails(KIND_LIBRARIES, CALLER) ? NULL : __real_realloc(old, bytes);
}

static void crypto_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    free(old);
}

static void take_over_libraries(void)
{
    event_set_mem_functions(library_malloc, library_realloc, free);
    (void)CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
}
#else
enum { LIBRARY_COUNT_MAX = 8 };

static struct {
    uintptr_t begin;
    uintptr_t end;
} libraries[LIBRARY_COUNT_MAX];
static unsigned library_count;

static int note_library(struct dl_phdr_info *info, size_t bytes, void *context)
{
    (void)bytes, (void)context;
    if (!strstr(info->dlpi_name, "libevent") && !strstr(info->dlpi_name, "libcrypto") &&
        !strstr(info->dlpi_name, "libssl") && !strstr(info->dlpi_name, "libyaml"))
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && library_count < LIBRARY_COUNT_MAX; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
            continue;
        libraries[library_count].begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        libraries[library_count].end = libraries[library_count].begin + info->dlpi_phdr[i].p_memsz;
        library_count++;
    }
    return 0;
}

static bool library_fails(const void *caller)
{
    if (fault.kind != KIND_LIBRARIES)
        return false;
    for (unsigned i = 0; i < library_count; i++)
        if ((uintptr_t)caller >= libraries[i].begin && (uintptr_t)caller < libraries[i].end)
            return call_fails(KIND_LIBRARIES, caller);
    return false;
}

/* Everybody's, for they are found here first; our own code is led elsewhere. */
void *malloc(size_t bytes)
{
    return library_fails(CALLER) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return library_fails(CALLER) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return library_fails(CALLER) ? NULL : __libc_realloc(old, bytes);
}

static void take_over_libraries(void)
{
    dl_iterate_phdr(note_library, NULL);
}
#endif

/* ---- system calls -------------------------------------------------------------------------- */

ssize_t __real_read(int fd, void *data, size_t bytes);
ssize_t __wrap_read(int fd, void *data, size_t bytes);
ssize_t __real_recv(int fd, void *data, size_t bytes, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags);
ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __real_send(int fd, const void *data, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags);
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, ...);
int __real_pthread_create(void *thread, const void *attributes, void *(*run)(void *), void *what);
int __wrap_pthread_create(void *thread, const void *attributes, void *(*run)(void *), void *what);

ssize_t __wrap_read(int fd, void *data, size_t bytes)
{
    return call_fails(KIND_READ, CALLER) ? -1 : __real_read(fd, data, bytes);
}

ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags)
{
    return call_fails(KIND_READ, CALLER) ? -1 : __real_recv(fd, data, bytes, flags);
}

/* A line of the log that is not written is missed by nobody but the test. */
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    return fd != STDERR_FILENO && call_fails(KIND_WRITE, CALLER) ? -1
                                                                 : __real_write(fd, data, bytes);
}

ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags)
{
    return call_fails(KIND_WRITE, CALLER) ? -1 : __real_send(fd, data, bytes, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return call_fails(KIND_WRITE, CALLER) ? -1 : __real_sendmsg(fd, message, flags);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return call_fails(KIND_CONNECT, CALLER) ? -1 : __real_connect(fd, address, bytes);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    return call_fails(KIND_ACCEPT, CALLER) ? -1 : __real_accept4(fd, address, bytes, flags);
}

int __wrap_socket(int family, int type, int protocol)
{
    return call_fails(KIND_SOCKET, CALLER) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return call_fails(KIND_OPEN, CALLER) ? -1 : __real_open(path, flags, mode);
}

/* Returns its error. */
int __wrap_pthread_create(void *thread, const void *attributes, void *(*run)(void *), void *what)
{
    return call_fails(KIND_THREAD, CALLER) ? fault.error
                                           : __real_pthread_create(thread, attributes, run, what);
}

/* libevent's: it finds this one before libc's. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation != EPOLL_CTL_DEL && call_fails(KIND_EPOLL, CALLER))
        return -1;
    return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

/* ---- what is asked for --------------------------------------------------------------------- */

static unsigned long number_of(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("WSKEEP_FAULT");
    fault.nth = number_of("WSKEEP_FAULT_NTH", 1);
    fault.times = number_of("WSKEEP_FAULT_TIMES", 1);
    fault.error = (int)number_of("WSKEEP_FAULT_ERROR", ENOMEM);
    fault.report = getenv("WSKEEP_FAULT_REPORT");
    take_over_libraries();
    for (int kind = 0; name && kind < KIND_COUNT; kind++)
        if (strcmp(name, kinds[kind]) == 0)
            fault.kind = (enum kind)kind;
    if (name && fault.kind == KIND_NONE) {
        fprintf(stderr, "WSKEEP_FAULT: no such kind: %s\n", name);
        abort();
    }
}

__attribute__((destructor)) static void end(void)
{
    unsigned long count = atomic_load(&fault.count);
    fault.nth = 0; /* nothing fails any more */
    fault.times = 0;
    if (fault.report && fault.kind != KIND_NONE)
        report("count", count);
}
