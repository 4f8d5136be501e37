/* What the parts of `box` share: box.c, pack.c, watch.c. */
#ifndef SYLA_BOX_H
#define SYLA_BOX_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/stat.h>

/* Records on standard output; each exits when nobody listens. */
void put(const void *bytes, size_t length);
void put_u32(uint32_t value);
void put_string(const char *text);
void put_error(int error, const char *path);
/* Of what lies at `path`, told as `shown`. */
void put_entry(const char *shown, const char *path, const struct stat *s);
/* So many bytes of a file at most, in pieces. */
void put_content(int fd, uint64_t most);

/* What the host sends; each exits when it has left. */
void take_bytes(void *bytes, size_t length);
uint32_t take_u32(void);
void take_path(char path[PATH_MAX]);
/* Into a file; answers why not. With `stops` at the first fault, else at the last piece. */
int take_content(int fd, bool stops);

/* A folder, with those above it; and those above a path. */
int make_folders(const char *path, mode_t mode);
int make_parents(const char *path);

/* A folder as a row of entries, and back. */
void pack(const char *path, const char *most);
void unpack(const char *path);

/* Tells changes for as long as there is what it watches. */
void watch(const char *path, bool recursive);

#endif
