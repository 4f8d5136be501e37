/* Whole trees as one stream: tree.c; everything else in the jail stopped meanwhile: hush.c. */
#ifndef SYLA_TREE_H
#define SYLA_TREE_H

#include <stdbool.h>

/* Writes what is below the roots to standard output, and a line of numbers to standard error. */
int tree_pack(int root_count, char **roots);
/* Makes below the roots, which are empty, what comes on standard input: so many files, folders and links at most. */
int tree_unpack(int root_count, char **roots, const char *most);

/* Stops every process but this one and PID 1 until this one exits; answers how many there were, and whether all of
   them came to a stand. Who starts it has PID 1 told that it does (START_HUSHES in keep.c). */
int hush(bool *still);

#endif
