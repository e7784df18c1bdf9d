/* Makes each call on a path below /home slow, as a home file system under load is. For ld.so.preload. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char *path)
{
	char dir[4096];
	struct timespec pause = {MILLISECONDS / 1000, MILLISECONDS % 1000 * 1000000};

	if (path && *path != '/')
		path = getcwd(dir, sizeof dir);
	if (path && !strncmp(path, "/home/", 6))
		nanosleep(&pause, NULL);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The mode is there only with O_CREAT, and read by real only then. */
#define OPEN(name, params, args)                                                                                       \
	int name params                                                                                                \
	{                                                                                                              \
		va_list rest;                                                                                          \
		mode_t mode;                                                                                           \
		REAL(name);                                                                                            \
		va_start(rest, flags);                                                                                 \
		mode = va_arg(rest, mode_t);                                                                           \
		va_end(rest);                                                                                          \
		wait_for(path);                                                                                        \
		return real args;                                                                                      \
	}
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))

#define CALL(name, params, args)                                                                                       \
	int name params                                                                                                \
	{                                                                                                              \
		REAL(name);                                                                                            \
		wait_for(path);                                                                                        \
		return real args;                                                                                      \
	}
CALL(stat, (const char *path, struct stat *s), (path, s))
CALL(lstat, (const char *path, struct stat *s), (path, s))
CALL(fstatat, (int dir, const char *path, struct stat *s, int flags), (dir, path, s, flags))
CALL(statx, (int dir, const char *path, int flags, unsigned mask, struct statx *s), (dir, path, flags, mask, s))
CALL(access, (const char *path, int mode), (path, mode))
CALL(faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))
CALL(mkdir, (const char *path, mode_t mode), (path, mode))
CALL(rmdir, (const char *path), (path))
CALL(unlink, (const char *path), (path))
CALL(unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
CALL(link, (const char *path, const char *to), (path, to))
CALL(rename, (const char *path, const char *to), (path, to))
CALL(chdir, (const char *path), (path))
