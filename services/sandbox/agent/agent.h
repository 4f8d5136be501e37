/*
 * syla-agent: the two small programs that a jail is started with, in one static binary.
 *
 *   spawn    outside: starts jails for the host, each in its cgroups from birth   (spawn.c)
 *   init     inside:  PID 1; closes the last doors, then serves the host on fd 3  (enter.c, run.c)
 *
 * README.md beside this file is the protocol. Everything here is single-threaded, allocates nothing
 * after start, and treats the host's frames as trusted and the program's behaviour as hostile.
 */
#ifndef SYLA_AGENT_H
#define SYLA_AGENT_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CONTROL_FD = 3, HEADER_BYTES = 8, PAYLOAD_BYTES_MAX = 65536 };

/* The program's identity inside the jail; which host uid that is, the host says (--host-uid). */
enum { PROGRAM_UID = 1000 };

enum frame_type {
  FRAME_SETUP = 1,
  FRAME_FILE_BEGIN = 2,
  FRAME_FILE_DATA = 3,
  FRAME_FILE_END = 4,
  FRAME_STDIN = 5,
  FRAME_EXEC = 6,
  FRAME_KILL = 7,
  FRAME_COLLECT = 8,

  FRAME_READY = 128,
  FRAME_STARTED = 129,
  FRAME_STDOUT = 130,
  FRAME_STDERR = 131,
  FRAME_EXIT = 132,
  FRAME_ARTIFACT_BEGIN = 133,
  FRAME_ARTIFACT_DATA = 134,
  FRAME_ARTIFACT_END = 135,
  FRAME_ARTIFACT_ERROR = 136,
  FRAME_USAGE = 137,
  FRAME_ERROR = 138,
};

/* Flag of EXEC: the payload goes on in the next EXEC frame (argv and env may exceed 64 KiB). */
enum { FLAG_MORE = 1 };

struct frame {
  uint8_t type;
  uint8_t flags;
  uint16_t process;
  uint32_t length;
  uint8_t *payload;
};

/* ---- wire.c: reading payloads, queueing frames ---- */

/* A cursor over a payload. After a read past the end `bad` is set and every value is 0 or "". */
struct reader {
  uint8_t *at;
  size_t left;
  bool bad;
};
uint8_t read_u8(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* A string is u32 length, bytes, NUL; it is used in place. */
char *read_string(struct reader *r);

/* A small payload being built. */
struct writer {
  uint8_t bytes[1024];
  size_t length;
};
void write_u8(struct writer *w, uint8_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);
void write_string(struct writer *w, const char *text);

/* Bytes of room for one more frame's payload; 0 when the host is not reading fast enough. */
size_t out_room(void);
size_t out_pending(void);
/* Where the next frame's payload may be put directly, for out_room() bytes. */
uint8_t *out_payload(void);
/* Queues the frame whose payload was put at out_payload(). */
void out_commit(uint8_t type, uint16_t process, size_t length);
void out_frame(uint8_t type, uint16_t process, const struct writer *w);
/* Writes what the socket takes now. */
void out_flush(void);
/* Writes everything, waiting for the host; only while no program runs. */
void out_flush_all(void);
/* Reads one whole frame, waiting for it; only before serving begins. */
void in_wait_frame(struct frame *frame);
/* Reads what is there; then in_next() yields the whole frames. */
void in_fill(void);
bool in_next(struct frame *frame);

/* Says what failed, to the host and on stderr, and ends the jail. */
_Noreturn void fail(const char *stage, const char *message);

/* ---- the rest, one file each ---- */

int spawn_main(int argc, char **argv);

int enter_main(int argc, char **argv);
int serve_main(void);
_Noreturn void serve(void);

/* files.c: in by FILE frames, out by COLLECT; both below /work, neither through a link. */
void files_open(void);
void file_begin(struct reader *r);
void file_data(const uint8_t *bytes, size_t length);
void file_end(void);
void collect(struct reader *r);
void usage_frame(uint16_t process);
/* errno of the first failed FILE or STDIN since the last call, 0 if none. */
int files_take_error(void);
void files_note_error(int error, const char *what);

/* run.c: one program at a time. */
void run_stdin(const uint8_t *bytes, size_t length);
void run_exec(const struct frame *frame);
void run_kill(int signal);

#endif
