/* What the parts of `box` share: box.c, watch.c. */
#ifndef SYLA_BOX_H
#define SYLA_BOX_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Records on standard output; each exits when nobody listens. */
void put(const void *bytes, size_t length);
void put_u32(uint32_t value);
void put_string(const char *text);
void put_error(int error, const char *path);

/* Tells changes for as long as there is what it watches. */
void watch(const char *path, bool recursive);

#endif
