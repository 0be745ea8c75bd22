// A disk that remembers what is not durable yet. Preloaded into a process, it notes in a journal what every change to a file
// or directory below DISK_ROOT replaced, and every sync that made changes durable. When the process is dead, `kills` reads
// the journal and takes back some of what no sync covered, as a power failure does: kill -9 alone loses nothing.
//
//   DISK_ROOT     the folder, absolute and without links
//   DISK_JOURNAL  a folder on the same file system: `journal`, and what was unlinked or replaced, under numbers
//   DISK_LIES     a file: while it is there, fdatasync does nothing and says it is done
//   DISK_FULL     a file with a number: while it is there, no more bytes than that find room beyond what has room already;
//                 a file of this name and `.felt` appears when a write has found none
//
// A note precedes its change, so that whoever is killed in between has changed nothing. Notes (little-endian):
//   u32 length of the rest, u8 kind, u64 inode, then
//   'w' a file gets other bytes or another length: u64 offset, u64 old length, u64 new length, the old bytes from offset
//   's' a sync of the file or directory has ended: u64 number of notes that stood before it began
//   'c' a name appears in the directory: name
//   'u' a name goes: u64 inode of what it named, u64 number under which that is kept, name
//   'r' a name becomes another one of the same directory: u64 inode of what it names, u64 number under which what the
//       other one named is kept or 0, name, NUL, other name
// What it does not understand (mappings that are written, copies inside the kernel, ...) ends the process.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
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

static char root[PATH_MAX], kept[PATH_MAX];
static size_t root_length;
static dev_t device;
static int journal = -1;
static const char *lies, *full;
static char felt[PATH_MAX];
static uint64_t filled;
static uint64_t notes, kept_next = 1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

// Inodes of regular files below the root that were opened to be written.
#define FILES_MAX 65536
static ino_t files[FILES_MAX];
static size_t files_count;

static void die(const char *what) {
    dprintf(2, "disk: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void) {
    const char *wanted = getenv("DISK_ROOT"), *beside = getenv("DISK_JOURNAL");
    if (!wanted || !beside) return;
    struct stat stat_of;
    snprintf(root, sizeof root, "%s", wanted);
    snprintf(kept, sizeof kept, "%s", beside);
    root_length = strlen(root);
    lies = getenv("DISK_LIES");
    full = getenv("DISK_FULL");
    if (full) snprintf(felt, sizeof felt, "%s.felt", full);
    if (stat(kept, &stat_of)) die(kept);
    device = stat_of.st_dev;
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/journal", kept);
    journal = syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_EXCL | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (journal < 0) die(path);
}

#define REAL(type, name, ...)                                                \
    static type (*real)(__VA_ARGS__);                                        \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

static void note(char kind, ino_t inode, const struct iovec *parts, int count) {
    struct iovec all[8];
    struct __attribute__((packed)) { uint32_t length; uint8_t kind; uint64_t inode; } head = {9, kind, inode};
    all[0] = (struct iovec){&head, sizeof head};
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        head.length += parts[i].iov_len;
    }
    if (syscall(SYS_writev, journal, all, count + 1) != (ssize_t)(head.length + 4)) die("journal");
    notes++;
}

// The absolute path that `at` and `path` name; whether it is below the root.
static int below(int at, const char *path, char *out) {
    if (journal < 0) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, out, PATH_MAX - 1);
        if (length < 0) return 0;
        snprintf(out + length, PATH_MAX - length, "/%s", path);
    }
    for (size_t end = strlen(out); end > 1 && out[end - 1] == '/'; end--) out[end - 1] = 0;
    return !strncmp(out, root, root_length) && (out[root_length] == '/' || !out[root_length]);
}

static ino_t inode_of(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

static ino_t parent_of(const char *path) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    return inode_of(parent);
}

static const char *name_of(const char *path) { return strrchr(path, '/') + 1; }

static void appears(const char *path) {
    struct iovec name = {(void *)name_of(path), strlen(name_of(path))};
    note('c', parent_of(path), &name, 1);
}

static int known(int fd, struct stat *found) {
    if (journal < 0 || fstat(fd, found) || !S_ISREG(found->st_mode) || found->st_dev != device) return 0;
    for (size_t i = files_count; i-- > 0;)
        if (files[i] == found->st_ino) return 1;
    return 0;
}

// A file is about to have other bytes from `offset` on, and this length.
static void changes(int fd, const struct stat *found, uint64_t offset, uint64_t length, uint64_t size) {
    uint64_t old = found->st_size, end = offset + length < old ? offset + length : old;
    size_t bytes = end > offset ? end - offset : 0;
    static char *buffer;
    static size_t capacity;
    if (bytes > capacity && !(buffer = realloc(buffer, capacity = bytes))) die("memory");
    // The file may be open for writing only.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (bytes) {
        int reader = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (reader < 0 || syscall(SYS_pread64, reader, buffer, bytes, offset) != (ssize_t)bytes) die("old bytes");
        syscall(SYS_close, reader);
    }
    uint64_t numbers[3] = {offset, old, size};
    struct iovec parts[2] = {{numbers, sizeof numbers}, {buffer, bytes}};
    note('w', found->st_ino, parts, 2);
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
    if (!writes || !below(at, path, full)) return syscall(SYS_openat, at, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) die("O_TMPFILE is not understood");
    pthread_mutex_lock(&turn);
    int is_new = !inode_of(full);
    if (is_new && flags & O_CREAT) appears(full);
    int fd = syscall(SYS_openat, at, path, flags & ~O_TRUNC, mode), error = errno;
    struct stat found;
    if (fd >= 0 && !known(fd, &found) && S_ISREG(found.st_mode)) {
        if (files_count == FILES_MAX) die("too many files");
        files[files_count++] = found.st_ino;
    }
    if (fd >= 0 && flags & O_TRUNC && found.st_size) {
        changes(fd, &found, 0, found.st_size, 0);
        if (syscall(SYS_ftruncate, fd, 0)) die("O_TRUNC");
    }
    pthread_mutex_unlock(&turn);
    errno = error;
    return fd;
}

#define OPENED(at)                                                           \
    mode_t mode = 0;                                                         \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {               \
        va_list rest;                                                        \
        va_start(rest, flags);                                               \
        mode = va_arg(rest, mode_t);                                         \
        va_end(rest);                                                        \
    }                                                                        \
    return opened(at, path, flags, mode)

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD); }
int openat(int at, const char *path, int flags, ...) { OPENED(at); }
int openat64(int at, const char *path, int flags, ...) { OPENED(at); }

// How many of the bytes at `offset` find room: a hole and what lies beyond the end need some, other bytes have theirs.
static uint64_t room(int fd, const struct stat *found, uint64_t offset, uint64_t length) {
    int control = full ? syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC) : -1;
    if (control < 0) {
        filled = 0;
        return length;
    }
    char text[32] = "", path[64];
    if (syscall(SYS_read, control, text, sizeof text - 1) < 0) die(full);
    syscall(SYS_close, control);
    // The place of the caller's descriptor stays where it is.
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (reader < 0) die(path);
    uint64_t end = found->st_size, has = 0;
    if (offset < end) {
        off_t hole = lseek(reader, offset, SEEK_HOLE);
        has = (hole < 0 ? end : (uint64_t)hole) - offset;
    }
    syscall(SYS_close, reader);
    if (has >= length) return length;
    uint64_t quota = strtoull(text, NULL, 10), more = quota > filled ? quota - filled : 0;
    if (more > length - has) more = length - has;
    filled += more;
    return has + more;
}

static ssize_t writes(int fd, const struct iovec *parts, int count, off_t offset, int placed) {
    struct stat found;
    if (journal < 0) goto plain;
    pthread_mutex_lock(&turn);
    if (known(fd, &found)) {
        uint64_t length = 0, at = placed ? offset : lseek(fd, 0, SEEK_CUR);
        if (fcntl(fd, F_GETFL) & O_APPEND) at = found.st_size;
        for (int i = 0; i < count; i++) length += parts[i].iov_len;
        uint64_t fits = room(fd, &found, at, length);
        struct iovec first;
        if (fits < length) {
            // A part of what was asked for may be written, as on a real disk.
            first = parts[0];
            if (first.iov_len > fits) first.iov_len = fits;
            if (!first.iov_len) {
                syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, felt, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
                pthread_mutex_unlock(&turn);
                errno = ENOSPC;
                return -1;
            }
            parts = &first;
            count = 1;
            length = first.iov_len;
        }
        changes(fd, &found, at, length, at + length > (uint64_t)found.st_size ? at + length : (uint64_t)found.st_size);
        ssize_t done = placed ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
        pthread_mutex_unlock(&turn);
        return done;
    }
    pthread_mutex_unlock(&turn);
plain:
    return placed ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
}

#define ONE &(struct iovec){(void *)bytes, count}, 1
ssize_t write(int fd, const void *bytes, size_t count) { return writes(fd, ONE, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return writes(fd, ONE, offset, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return writes(fd, ONE, offset, 1); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return writes(fd, parts, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return writes(fd, parts, count, offset, 1); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return writes(fd, parts, count, offset, 1); }

int ftruncate(int fd, off_t size) {
    struct stat found;
    pthread_mutex_lock(&turn);
    if (known(fd, &found))
        changes(fd, &found, size, size < found.st_size ? found.st_size - size : 0, size);
    int result = syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&turn);
    return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

static int synced(int fd, long call) {
    struct stat found;
    if (journal < 0 || fstat(fd, &found) || found.st_dev != device) return syscall(call, fd);
    if (call == SYS_fdatasync && lies && !access(lies, F_OK)) return 0;
    pthread_mutex_lock(&turn);
    uint64_t before = notes;
    pthread_mutex_unlock(&turn);
    int result = syscall(call, fd);
    if (result) return result;
    pthread_mutex_lock(&turn);
    struct iovec part = {&before, sizeof before};
    note('s', found.st_ino, &part, 1);
    pthread_mutex_unlock(&turn);
    return 0;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

// Where what loses its name is kept, so that its inode is not given to another one.
static uint64_t keep(const char *path, int is_directory) {
    char place[PATH_MAX + 32];
    snprintf(place, sizeof place, "%s/%llu", kept, (unsigned long long)kept_next);
    REAL(int, "link", const char *, const char *);
    if (!is_directory && real(path, place)) die(place);
    return kept_next++;
}

static void goes(const char *path, ino_t inode, uint64_t number) {
    uint64_t numbers[2] = {inode, number};
    struct iovec parts[2] = {{numbers, sizeof numbers}, {(void *)name_of(path), strlen(name_of(path))}};
    note('u', parent_of(path), parts, 2);
}

static int unlinked(int at, const char *path, int flags) {
    char full[PATH_MAX], place[PATH_MAX + 32];
    struct stat found;
    if (!below(at, path, full) || lstat(full, &found)) return syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&turn);
    int result;
    if (!(flags & AT_REMOVEDIR)) {
        if (S_ISREG(found.st_mode)) goes(full, found.st_ino, keep(full, 0));
        result = syscall(SYS_unlinkat, at, path, flags);
    } else {
        DIR *entries = opendir(full);
        int empty = entries != NULL;
        for (struct dirent *entry; empty && (entry = readdir(entries));)
            empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        if (entries) closedir(entries);
        if (!empty) {
            pthread_mutex_unlock(&turn);
            errno = ENOTEMPTY;
            return -1;
        }
        uint64_t number = keep(full, 1);
        goes(full, found.st_ino, number);
        snprintf(place, sizeof place, "%s/%llu", kept, (unsigned long long)number);
        result = syscall(SYS_renameat2, AT_FDCWD, full, AT_FDCWD, place, 0);
    }
    pthread_mutex_unlock(&turn);
    return result;
}

int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return unlinked(at, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }

static int renamed(int at, const char *from, int to_at, const char *to) {
    char source[PATH_MAX], target[PATH_MAX];
    int inside = below(at, from, source), target_inside = below(to_at, to, target);
    if (!inside && !target_inside) return syscall(SYS_renameat2, at, from, to_at, to, 0);
    if (!inside || !target_inside || parent_of(source) != parent_of(target)) die("renaming between directories");
    pthread_mutex_lock(&turn);
    struct stat found;
    uint64_t numbers[2] = {inode_of(source), 0};
    if (!lstat(target, &found)) {
        if (!S_ISREG(found.st_mode)) die("renaming over a directory");
        numbers[1] = keep(target, 0);
    }
    struct iovec parts[3] = {{numbers, sizeof numbers}, {(void *)name_of(source), strlen(name_of(source)) + 1},
                             {(void *)name_of(target), strlen(name_of(target))}};
    if (numbers[0]) note('r', parent_of(source), parts, 3);
    int result = syscall(SYS_renameat2, at, from, to_at, to, 0);
    pthread_mutex_unlock(&turn);
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int at, const char *from, int to_at, const char *to) { return renamed(at, from, to_at, to); }
int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) {
    if (flags && journal >= 0) die("flags of renameat2");
    return flags ? syscall(SYS_renameat2, at, from, to_at, to, flags) : renamed(at, from, to_at, to);
}

int mkdirat(int at, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!below(at, path, full) || inode_of(full) || !parent_of(full)) return syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_lock(&turn);
    appears(full);
    int result = syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_unlock(&turn);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// Not understood, for files below the root.
static void refuse(int fd, const char *what) {
    struct stat found;
    if (known(fd, &found)) die(what);
}
void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && protection & PROT_WRITE && flags & MAP_SHARED) refuse(fd, "mmap");
    return (void *)syscall(SYS_mmap, where, length, protection, flags, fd, offset);
}
void *mmap64(void *where, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap(where, length, protection, flags, fd, offset);
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
    refuse(fd, "fallocate");
    return syscall(SYS_fallocate, fd, mode, offset, length);
}
int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length, unsigned flags) {
    refuse(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, length, flags);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) {
    refuse(to, "sendfile");
    return syscall(SYS_sendfile, to, from, offset, count);
}
