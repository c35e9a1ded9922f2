/*
 * Loaded by LD_PRELOAD: does what a process asks of files below one directory, and writes each request that changed
 * something, or made it durable, to a log. One lock around both, so that the log's order is the order of the effects.
 *
 * What it does not interpose (fallocate, pwritev, …) is noticed by disk.ts: the log played back must give the directory.
 * Writable shared mappings would go unseen, so they end the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* In the order of KINDS in recorder.ts. */
enum kind { CREATE, MKDIR, WRITE, RESIZE, SYNC, REMOVE, RENAME, LINK };
/* Before each path and its data; little-endian like every machine this runs on. */
struct header { uint32_t kind, path_bytes; uint64_t offset, data_bytes; };
/* What a request asks to be done; the path is resolved before, since it may be gone afterwards. */
struct place { char path[PATH_MAX]; int recorded; };

static const char *root;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
  root = getenv("HOLDFAST_RECORD_BELOW");
  const char *to = getenv("HOLDFAST_RECORD_TO");
  if (root == NULL || to == NULL) return;
  log_fd = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) abort();
}

static void record(enum kind kind, const char *path, uint64_t offset, const void *data, uint64_t data_bytes) {
  struct header header = { kind, strlen(path), offset, data_bytes };
  struct iovec parts[] = { { &header, sizeof header }, { (void *)path, header.path_bytes }, { (void *)data, data_bytes } };
  ssize_t all = sizeof header + header.path_bytes + data_bytes;
  if (syscall(SYS_writev, log_fd, parts, 3) != all) abort();
}

/* An absolute path below the root. */
static struct place *found(struct place *place) {
  size_t length = root == NULL ? 0 : strlen(root);
  place->recorded = log_fd >= 0 && strncmp(place->path, root, length) == 0 && (place->path[length] == '/' || place->path[length] == 0);
  return place;
}

static struct place *place_of(int fd, struct place *place) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, place->path, PATH_MAX - 1);
  place->path[length < 0 ? 0 : length] = 0;
  return found(place);
}

static struct place *place_at(int directory, const char *path, struct place *place) {
  if (path[0] == '/') {
    snprintf(place->path, PATH_MAX, "%s", path);
    return found(place);
  }
  if (directory != AT_FDCWD) place_of(directory, place);
  else if (getcwd(place->path, PATH_MAX) == NULL) place->path[0] = 0;
  size_t length = strlen(place->path);
  snprintf(place->path + length, PATH_MAX - length, "/%s", path);
  return found(place);
}

static void begin(const struct place *place) { if (place->recorded) pthread_mutex_lock(&lock); }

static long end(const struct place *place, long result) {
  int error = errno;
  if (place->recorded) pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  struct place place;
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return syscall(SYS_openat, directory, path, flags, mode);
  begin(place_at(directory, path, &place));
  int existed = syscall(SYS_faccessat, directory, path, F_OK) == 0;
  int fd = syscall(SYS_openat, directory, path, flags, mode);
  if (place.recorded && fd >= 0 && !existed) record(CREATE, place.path, 0, NULL, 0);
  if (place.recorded && fd >= 0 && existed && (flags & O_TRUNC) != 0) record(RESIZE, place.path, 0, NULL, 0);
  return end(&place, fd);
}

#define OPEN(name, parameters, directory)                                                                              \
  int name parameters {                                                                                                \
    va_list more;                                                                                                      \
    va_start(more, flags);                                                                                             \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;                                     \
    va_end(more);                                                                                                      \
    return open_at(directory, path, flags, mode);                                                                      \
  }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int directory, const char *path, int flags, ...), directory)
OPEN(openat64, (int directory, const char *path, int flags, ...), directory)

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  struct place place;
  begin(place_of(fd, &place));
  ssize_t written = syscall(SYS_pwrite64, fd, data, length, offset);
  if (place.recorded && written > 0) record(WRITE, place.path, offset, data, written);
  return end(&place, written);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
  struct place place;
  begin(place_of(fd, &place));
  ssize_t written = syscall(SYS_write, fd, data, length);
  if (place.recorded && written > 0) record(WRITE, place.path, lseek(fd, 0, SEEK_CUR) - written, data, written);
  return end(&place, written);
}

int ftruncate64(int fd, off64_t length) {
  struct place place;
  begin(place_of(fd, &place));
  int result = syscall(SYS_ftruncate, fd, length);
  if (place.recorded && result == 0) record(RESIZE, place.path, length, NULL, 0);
  return end(&place, result);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_by(long call, int fd) {
  struct place place;
  begin(place_of(fd, &place));
  int result = syscall(call, fd);
  if (place.recorded && result == 0) record(SYNC, place.path, 0, NULL, 0);
  return end(&place, result);
}
int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

int unlinkat(int directory, const char *path, int flags) {
  struct place place;
  begin(place_at(directory, path, &place));
  int result = syscall(SYS_unlinkat, directory, path, flags);
  if (place.recorded && result == 0) record(REMOVE, place.path, 0, NULL, 0);
  return end(&place, result);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  int result = unlink(path);
  return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdirat(int directory, const char *path, mode_t mode) {
  struct place place;
  begin(place_at(directory, path, &place));
  int result = syscall(SYS_mkdirat, directory, path, mode);
  if (place.recorded && result == 0) record(MKDIR, place.path, 0, NULL, 0);
  return end(&place, result);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Both names lie below the root, or neither does. */
int rename(const char *from, const char *to) {
  struct place place, target;
  begin(place_at(AT_FDCWD, from, &place));
  place_at(AT_FDCWD, to, &target);
  int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (place.recorded && result == 0) record(RENAME, place.path, 0, target.path, strlen(target.path));
  return end(&place, result);
}

int link(const char *from, const char *to) {
  struct place place, target;
  begin(place_at(AT_FDCWD, from, &place));
  place_at(AT_FDCWD, to, &target);
  int result = syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (place.recorded && result == 0) record(LINK, place.path, 0, target.path, strlen(target.path));
  return end(&place, result);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  struct place place = { .recorded = 0 };
  if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0) place_of(fd, &place);
  if (place.recorded) abort();
  return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap64(at, length, protection, flags, fd, offset);
}

/* A process that kills itself does so between two records, or its last effect might be missing in the log. */
int kill(pid_t pid, int signal) {
  pthread_mutex_lock(&lock);
  int result = syscall(SYS_kill, pid, signal);
  pthread_mutex_unlock(&lock);
  return result;
}
